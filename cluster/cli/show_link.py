"""A link whose time by message size is a curve: from 64 B to 64 MiB, each scale logarithmic.

message one way              alone in a stream
  4 KiB 4.52 us ▕█░░░░░▏  906 MB/s   9.33 GB/s ▕████▒▒░▏
"""

import math
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cluster.cli.show_figures import link_line
from configs.nearest import nearest
from configs.presets import preset_names
from configs.schema import LinkSpec, load_link
from configs.units import SIZE
from workers.wire.curve import curve_of, one_way_ns

SIZES = tuple(1 << power for power in range(6, 27))  # 64 B to 64 MiB
_CELLS = 18  # so that all of it fits 80 columns
_TIMES = (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0))
_RATES = (("TB/s", 1e12), ("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3), ("B/s", 1.0))
_TIME, _ALONE, _STREAM = "magenta", "blue", "cyan"


def is_link(name: str) -> bool:
    """Whether a name is a shipped link's, and no scenario's."""
    return name in preset_names("link") and name not in preset_names("scenario")


def render_preset(name: str) -> RenderableType:
    """A shipped link, whatever its keys. Raises ValueError for a name that is none."""
    if not is_link(name):
        raise ValueError(f"no link is called {name!r}: {nearest(name, preset_names('link'))}")
    return Group(render_link(load_link(name)), _legend())


def curves(links: Iterable[LinkSpec]) -> RenderableType | None:
    """Those of them that are no straight line, each once; None where all are."""
    drawn: list[LinkSpec] = []
    for link in links:
        if link not in drawn and (curve_of(link) is not None or link.startup_ns):
            drawn.append(link)
    return Group(*map(render_link, drawn), _legend()) if drawn else None


def render_link(link: LinkSpec) -> RenderableType:
    """Time and rate of one message by its size, and the rate of a stream of that size."""
    alone_ns = [one_way_ns(link, size) for size in SIZES]
    alone = [size / took_ns * 1e9 for size, took_ns in zip(SIZES, alone_ns, strict=True)]
    curve = curve_of(link)
    stream = [link.bytes_per_s if curve is None else curve.bytes_per_s(size) for size in SIZES]
    times = _Scale(alone_ns)
    rates = _Scale([*alone, float(link.bytes_per_s)])
    table = Table.grid(padding=(0, 1))
    for justify in ("right", "right", "left", "right", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    heads = ("message", "one way", "", "alone", "in a stream", "")
    table.add_row(*(Text(head, style="dim") for head in heads))
    for size, took_ns, one, many in zip(SIZES, alone_ns, alone, stream, strict=True):
        table.add_row(
            SIZE.format(size) if size < 1024 else _binary(size),
            Text(in_units(took_ns, _TIMES), style=_TIME),
            _bar((times.cells(took_ns), _TIME)),
            Text(in_units(one, _RATES), style=_ALONE),
            Text(in_units(many, _RATES), style=_STREAM),
            _bar((rates.cells(one), _ALONE), (rates.cells(many), _STREAM)),
        )
    return Group(Text(), link_line(link), table)


def in_units(value: float, units: Sequence[tuple[str, float]]) -> str:
    """Three significant digits in the largest unit of which there is one."""
    rounded = float(f"{value:.3g}")
    unit, factor = next((u for u in units if rounded >= u[1]), units[-1])
    return f"{rounded / factor:.3g} {unit}"


def _binary(size: int) -> str:
    unit, power = ("MiB", 20) if size >= 1 << 20 else ("KiB", 10)
    return f"{size >> power} {unit}"


class _Scale:
    """A logarithmic scale whose ends are the least and the most of what it shows."""

    def __init__(self, values: Sequence[float]) -> None:
        self._least, most = math.log(min(values)), math.log(max(values))
        self._span = most - self._least or 1.0

    def cells(self, value: float) -> int:
        """At least one: what is shown at all is seen."""
        share = (math.log(value) - self._least) / self._span
        return max(1, min(_CELLS, round(share * _CELLS)))


def _bar(*parts: tuple[int, str]) -> Text:
    """Up to so many cells in a colour, then on to the next one's."""
    text, filled = Text("▕"), 0
    for index, (cells, colour) in enumerate(parts):
        text.append(("▒" if index else "█") * (cells - filled), style=colour)
        filled = max(filled, cells)
    text.append("░" * (_CELLS - filled), style="dim")
    text.append("▏")
    return text


def _legend() -> Text:
    text = Text()
    for mark, what, colour in (
        ("█", "one way, from sending to being there", _TIME),
        ("█", "rate of one alone", _ALONE),
        ("▒", "of many, one after the other", _STREAM),
    ):
        text.append(f"{mark} ", style=colour)
        text.append(f"{what}   ")
    text.append("scales: log")
    return text

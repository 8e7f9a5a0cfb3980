"""A trial as a picture: faults, nodes and requests over emulated time, in one SVG without anything
from elsewhere.
"""

from dataclasses import dataclass
from html import escape

from cluster.chaos.trial import Seen

ROW, LEFT, WIDTH, TOP = 22, 150, 820, 46
COLOURS = ("#c0392b", "#7d3c98", "#2471a3")
TITLES = ("faults", "nodes", "requests")
BAD = "#c0392b"
# Words that end a bar; whatever else is marked begins one, or ends it with an error.
STARTS = ("begins", "dies", "asked")


@dataclass(frozen=True, slots=True)
class Bar:
    """group   0 faults, 1 nodes, 2 requests; a bar without an end lasts until the picture's"""

    group: int
    name: str
    text: str
    begin_ns: int
    end_ns: int | None


def bars(seen: Seen) -> list[Bar]:
    """In the order in which they begin, group by group."""
    found: list[Bar] = []
    opened: dict[tuple[int, str], tuple[int, str]] = {}
    for at_ns, group, name, text in sorted(seen.marks, key=lambda mark: mark[0]):
        key = group, name
        if text.endswith(STARTS):
            opened[key] = at_ns, text
        elif key in opened:
            begin_ns, first = opened.pop(key)
            what = text if group == 2 else first.removesuffix(" begins")
            found.append(Bar(group, name, what, begin_ns, at_ns))
    found += [
        Bar(group, name, text.removesuffix(" begins"), begin_ns, None)
        for (group, name), (begin_ns, text) in opened.items()
    ]
    return sorted(found, key=lambda bar: (bar.group, bar.begin_ns, bar.name))


def picture(seen: Seen) -> str:
    """The SVG. One column of names, one bar each; red requests ended with an error."""
    all_bars = bars(seen)
    last_ns = max((mark[0] for mark in seen.marks), default=1) or 1
    height = TOP + ROW * (len(all_bars) + 1 + len(seen.broken))

    def x(at_ns: int) -> float:
        return LEFT + WIDTH * at_ns / last_ns

    rows = [_text(8, 18, f"trial {seen.name}: {last_ns / 1e6:.3f} ms of emulated time", "bold")]
    for mark in (at for at in seen.marks if at[2] == "all"):
        at = x(mark[0])
        rows.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 10}" y2="{height}" '
                    'stroke="#27ae60" stroke-dasharray="4 3"/>')  # fmt: skip
        rows.append(_text(at + 3, TOP - 12, mark[3]))
    for number, bar in enumerate(all_bars):
        y = TOP + ROW * number
        end = x(last_ns if bar.end_ns is None else bar.end_ns)
        failed = bar.group == 2 and bar.text not in ("stop", "length", "left")
        colour = BAD if failed else COLOURS[bar.group]
        begin = x(bar.begin_ns)
        rows.append(_text(8, y + 13, f"{TITLES[bar.group][:-1]} {bar.name}"))
        rows.append(f'<rect x="{begin:.1f}" y="{y}" width="{max(end - begin, 2):.1f}" '
                    f'height="{ROW - 6}" fill="{colour}" fill-opacity="0.75"/>')  # fmt: skip
        rows.append(_text(begin + 4, y + 13, bar.text))
    for number, line in enumerate(seen.broken):
        rows.append(_text(8, TOP + ROW * (len(all_bars) + number) + 16, line, "bold", BAD))
    size = f'width="{LEFT + WIDTH + 30}" height="{height}"'
    style = 'font-family="sans-serif" font-size="11"'
    body = "\n".join(rows)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{body}\n</svg>\n'


def _text(x: float, y: float, text: str, weight: str = "normal", colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}" fill="{colour}">{escape(text)}</text>'

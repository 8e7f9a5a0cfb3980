"""Two charts over emulated time as SVG, with a band for each fault: no library, nothing from
elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise

from cluster.chaos.experiments.measures import Phase, spread

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, ROW = 920, 190, 74, 14, 26, 24, 18
COLOURS: Mapping[str, str] = {"baseline": "#7f8c8d", "fault": "#2471a3", "recovery": "#1e8449"}
BAND = "#c0392b"
BINS, TICKS = 60, 6
Points = Sequence[tuple[int, float | None]]


def time_line(phases: Mapping[str, Phase]) -> str:
    """Faults, throughput and the time between tokens, one above the other on one scale of time."""
    last_ns = max(phase.ended_ns for phase in phases.values()) or 1
    width_ns = max(1, -(-last_ns // BINS))
    series = {name: spread(phase, width_ns) for name, phase in phases.items()}
    told = {name: [(at, tokens) for at, tokens, _ in rows] for name, rows in series.items()}
    gaps = {
        name: [(at, None if gap is None else gap / 1e3) for at, _, gap in rows]
        for name, rows in series.items()
    }
    spells = phases["fault"].spells
    return "\n".join((
        _lanes(spells, last_ns),
        _chart("tokens a second", told, spells, last_ns),
        _chart("mean time between tokens, us", gaps, spells, last_ns),
    ))  # fmt: skip


def _x(at_ns: int, last_ns: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at_ns / last_ns


def _svg(height: int, title: str, body: Sequence[str]) -> str:
    """A picture with its title; it shrinks with the window."""
    size = f'viewBox="0 0 {WIDTH} {height}" width="100%" role="img"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} aria-label="{escape(title)}">'
    return "\n".join((head, _text(LEFT, 16, title, "title"), *body, "</svg>"))


def _text(x: float, y: float, text: str, kind: str = "tick", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} class="{kind}">{escape(text)}</text>'


def _lanes(spells: Sequence[tuple[str, int, int | None]], last_ns: int) -> str:
    body = []
    for number, (what, since, until) in enumerate(spells):
        y = TOP + ROW * number
        begin, end = _x(since, last_ns), _x(last_ns if until is None else until, last_ns)
        body.append(f'<rect x="{begin:.1f}" y="{y}" width="{max(end - begin, 3):.1f}" '
                    f'height="{ROW - 5}" fill="{BAND}" fill-opacity="0.7"/>')  # fmt: skip
        is_late = begin > WIDTH * 0.6
        at, anchor = (begin - 5, "end") if is_late else (max(end, begin + 3) + 5, "start")
        if not is_late and end > WIDTH * 0.6:
            at = begin + 4
        body.append(_text(at, y + 11, f"{what} at {since / 1e6:g} ms", "lane", anchor))
    return _svg(TOP + ROW * len(spells) + 4, "what goes wrong", body)


def _chart(
    title: str,
    series: Mapping[str, Points],
    spells: Sequence[tuple[str, int, int | None]],
    last_ns: int,
) -> str:
    top = max((y for rows in series.values() for _, y in rows if y is not None), default=1) or 1
    floor = HEIGHT - BOTTOM

    def height(value: float) -> float:
        return floor - (floor - TOP) * value / top

    body = []
    for _, since, until in spells:
        begin, end = _x(since, last_ns), _x(last_ns if until is None else until, last_ns)
        body.append(f'<rect x="{begin:.1f}" y="{TOP}" width="{max(end - begin, 1.5):.1f}" '
                    f'height="{floor - TOP}" fill="{BAND}" fill-opacity="0.10"/>')  # fmt: skip
    for value in (0.0, top / 2, top):
        y = height(value)
        body.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                    'stroke="#ddd"/>')  # fmt: skip
        body.append(_text(LEFT - 6, y + 4, f"{value:,.0f}", anchor="end"))
    for number in range(TICKS + 1):
        at_ns = last_ns * number // TICKS
        anchor = "end" if number == TICKS else "middle"  # the last one would be cut off
        body.append(_text(_x(at_ns, last_ns), HEIGHT - 7, f"{at_ns / 1e6:.1f} ms", anchor=anchor))
    for name, rows in series.items():
        body += _line(rows, COLOURS[name], last_ns, height)
    for number, name in enumerate(series):
        x = WIDTH - RIGHT - 90 * (len(series) - number)
        body.append(f'<rect x="{x}" y="8" width="10" height="10" fill="{COLOURS[name]}"/>')
        body.append(_text(x + 14, 17, name))
    return _svg(HEIGHT, title, body)


def _line(rows: Points, colour: str, last_ns: int, height: Callable[[float], float]) -> list[str]:
    """Broken where nothing was measured."""
    found = []
    for (at, value), (later, other) in pairwise(rows):
        if value is not None and other is not None:
            ends = (
                f'x1="{_x(at, last_ns):.1f}" x2="{_x(later, last_ns):.1f}" '
                f'y1="{height(value):.1f}" y2="{height(other):.1f}"'
            )
            found.append(f'<line {ends} stroke="{colour}" stroke-width="1.8"/>')
    return found

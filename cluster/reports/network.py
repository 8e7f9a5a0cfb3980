"""What crossed a network: its busiest links, and who talked to whom, by class. Pure.

       1  2  3
1 a    ·  ▓▓ ░░     shades are powers of ten of the most; the colour is the class with most bytes
2 b    ██ ·  ·
"""

from collections.abc import Mapping, Sequence
from typing import Any

from configs.fitting import rough
from workers.wire.fabric.counts import NetworkCounts
from workers.wire.fabric.traffic import CLASSES

SHOWN_MOST = 5
ESTIMATED = (
    "network (estimated): on links that several machines use, each knows the others' messages by "
    "periodic reports"
)
# More nodes than this are shown by their groups.
NODES_MOST = 24
_SHADES = ("█", "▓", "▒", "░")  # the most, a tenth of it, a hundredth, less
_COLOURS = dict(zip(CLASSES, ("magenta", "green", "blue", "yellow", "white"), strict=True))


def network_figures(counts: NetworkCounts | None) -> dict[str, Any] | None:
    """As JSON has it: links by name, pairs in order; what nothing crossed is left out."""
    if counts is None:
        return None
    span_ns = counts.at_ns
    return {
        "span_ns": span_ns,
        "estimated": counts.is_estimated,
        "links": {
            name: {
                "bytes": _by_class(link.num_bytes),
                "moved_bytes": link.moved_bytes,
                "busy_ns": link.busy_ns,
                "utilisation": link.busy_ns / span_ns if span_ns else 0.0,
                "peak_messages": link.peak,
            }
            for name, link in counts.links.items()
            if any(link.num_bytes)
        },
        "talk": [
            {
                "from": source,
                "to": target,
                "messages": _by_class(talk.messages),
                "bytes": _by_class(talk.num_bytes),
                "byte_hops": talk.byte_hops,
            }
            for (source, target), talk in counts.talk.items()
            if any(talk.messages)
        ],
        "byte_hops": {"messages": _by_messages(counts), "links": _by_links(counts)},
    }


def not_conserved(counts: NetworkCounts) -> str:
    """Says so where bytes x links, as messages have it, is not what links moved; else "".

    What is on its way has moved a part of it: then links have less.
    """
    by_messages, by_links = _by_messages(counts), _by_links(counts)
    if by_messages == by_links:
        return ""
    return (
        f"network: messages make {by_messages:,} bytes x links and links moved {by_links:,}: "
        "some are on their way, or bytes were lost"
    )


def network_lines(counts: NetworkCounts | None) -> list[str]:
    """In words and as a map; nothing where there is no network."""
    if counts is None or not counts.talk:
        return []
    lines = [_classes(counts), _busiest(counts), *_heat_map(counts)]
    if counts.is_estimated:
        lines.append(ESTIMATED)
    problem = not_conserved(counts)
    return [*lines, problem] if problem else lines


def _classes(counts: NetworkCounts) -> str:
    parts = []
    for i, name in enumerate(CLASSES):
        messages = sum(talk.messages[i] for talk in counts.talk.values())
        num_bytes = sum(talk.num_bytes[i] for talk in counts.talk.values())
        if messages:
            parts.append(f"{name} {rough(num_bytes)} in {messages:,} messages")
    return f"network: {', '.join(parts)}; {_by_messages(counts):,} bytes x links"


def _busiest(counts: NetworkCounts) -> str:
    links = sorted(counts.links.items(), key=lambda pair: (-pair[1].busy_ns, pair[0]))
    shown = ", ".join(
        f"{name} {link.busy_ns / counts.at_ns if counts.at_ns else 0.0:.1%} "
        f"({rough(link.moved_bytes)}, at most {link.peak} at once)"
        for name, link in links[:SHOWN_MOST]
    )
    return f"busiest of {len(links)} links: {shown}"


def _heat_map(counts: NetworkCounts) -> list[str]:
    """A row a sender, a column a receiver."""
    talk: dict[tuple[str, str], Sequence[int]] = {
        pair: told.num_bytes for pair, told in counts.talk.items()
    }
    names = list(dict.fromkeys(name for pair in talk for name in pair))
    if len(names) > NODES_MOST:
        talk = _by_group(talk)
        names = list(dict.fromkeys(name for pair in talk for name in pair))
    names.sort(key=_numbered)
    most = max(sum(of) for of in talk.values())
    width = max(map(len, names))
    key = "  ".join(f"[{colour}]██[/] {name}" for name, colour in _COLOURS.items())
    numbers = "".join(f"{i:<3}" for i in range(1, len(names) + 1))
    lines = [
        f"who talks to whom, {_SHADES[0] * 2} up to {rough(most)}, each shade a tenth: {key}",
        f"{'':>{width + 4}} {numbers.rstrip()}",
    ]
    for i, source in enumerate(names, start=1):
        cells = "".join(_cell(talk.get((source, target)), most) for target in names)
        lines.append(f"{i:>3} {source:<{width}} {cells.rstrip()}")
    return lines


def _cell(num_bytes: Sequence[int] | None, most: int) -> str:
    if num_bytes is None or not (total := sum(num_bytes)):
        return "·  "
    shade = next(
        (s for power, s in enumerate(_SHADES) if total * 10 ** (power + 1) > most), _SHADES[-1]
    )
    traffic = CLASSES[max(range(len(CLASSES)), key=lambda i: num_bytes[i])]
    return f"[{_COLOURS[traffic]}]{shade * 2}[/] "


def _by_group(
    talk: Mapping[tuple[str, str], Sequence[int]],
) -> dict[tuple[str, str], Sequence[int]]:
    grouped: dict[tuple[str, str], Sequence[int]] = {}
    for (source, target), num_bytes in talk.items():
        pair = _group(source), _group(target)
        known = grouped.get(pair, (0,) * len(CLASSES))
        grouped[pair] = tuple(a + b for a, b in zip(known, num_bytes, strict=True))
    return grouped


def _group(node: str) -> str:
    head, _, number = node.rpartition("-")
    return head if head and number.isdigit() else node


def _numbered(node: str) -> tuple[str, int]:
    """decode-2 before decode-10."""
    head, _, number = node.rpartition("-")
    return (head, int(number)) if head and number.isdigit() else (node, -1)


def _by_class(values: Sequence[int]) -> dict[str, int]:
    return {name: value for name, value in zip(CLASSES, values, strict=True) if value}


def _by_messages(counts: NetworkCounts) -> int:
    return sum(talk.byte_hops for talk in counts.talk.values())


def _by_links(counts: NetworkCounts) -> int:
    return sum(link.moved_bytes for link in counts.links.values())

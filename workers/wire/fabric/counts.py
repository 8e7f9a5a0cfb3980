"""What crossed a network: by link, and by who talked to whom. Two hands count it: messages as they
leave, and links by what they moved.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from workers.wire.fabric.traffic import CLASSES


@dataclass(frozen=True, slots=True)
class LinkCount:
    """num_bytes   by class, of messages that took it, in order of CLASSES
    moved_bytes    that it moved, by its own account
    busy_ns        as time of the whole link
    peak           most messages on it at once, those that wait in line among them
    """

    num_bytes: tuple[int, ...]
    moved_bytes: int
    busy_ns: int
    peak: int


@dataclass(frozen=True, slots=True)
class TalkCount:
    """From one node to another, by class: messages and bytes.

    byte_hops   of all: bytes that a link is taken for, own links' overhead among them, x links
                crossed
    """

    messages: tuple[int, ...]
    num_bytes: tuple[int, ...]
    byte_hops: int


@dataclass(frozen=True, slots=True)
class NetworkCounts:
    """links by name; talk by (source, destination).

    machine        that counted its nodes' messages; "" where all are on one
    is_estimated   links of several machines' nodes: each knows others' messages by reports
    """

    at_ns: int
    links: Mapping[str, LinkCount]
    talk: Mapping[tuple[str, str], TalkCount]
    machine: str = ""
    is_estimated: bool = False

    def since(self, before: "NetworkCounts") -> "NetworkCounts":
        """What happened between. Peaks are those of the whole time."""
        links = {
            name: LinkCount(
                _less(now.num_bytes, b.num_bytes),
                now.moved_bytes - b.moved_bytes,
                now.busy_ns - b.busy_ns,
                now.peak,
            )
            for name, now in self.links.items()
            for b in (before.links.get(name, _NO_LINK),)
        }
        talk = {
            pair: TalkCount(
                _less(now.messages, b.messages),
                _less(now.num_bytes, b.num_bytes),
                now.byte_hops - b.byte_hops,
            )
            for pair, now in self.talk.items()
            for b in (before.talk.get(pair, _NO_TALK),)
        }
        return replace(self, at_ns=self.at_ns - before.at_ns, links=links, talk=talk)


def together(known: Iterable[NetworkCounts]) -> NetworkCounts:
    """Of several machines. What links did stands in the account of each; the first one's is taken.
    Who talked to whom is known where it left.
    """
    first, *others = {counts.machine: counts for counts in known}.values()
    links, talk = dict(first.links), dict(first.talk)
    for counts in others:
        for pair, told in counts.talk.items():
            a = talk.get(pair, _NO_TALK)
            messages = _sum(a.messages, told.messages)
            num_bytes = _sum(a.num_bytes, told.num_bytes)
            talk[pair] = TalkCount(messages, num_bytes, a.byte_hops + told.byte_hops)
        for name, link in counts.links.items():
            a_link = links.get(name)
            if a_link is None:
                links[name] = link  # nothing of the first's nodes has crossed it
            else:
                num_bytes = _sum(a_link.num_bytes, link.num_bytes)
                links[name] = replace(a_link, num_bytes=num_bytes)
    return replace(first, links=links, talk=talk)


_NONE = (0,) * len(CLASSES)
_NO_LINK = LinkCount(_NONE, 0, 0, 0)
_NO_TALK = TalkCount(_NONE, _NONE, 0)


def _sum(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    return tuple([x + y for x, y in zip(a, b, strict=True)])


def _less(now: Sequence[int], before: Sequence[int]) -> tuple[int, ...]:
    return tuple(a - b for a, b in zip(now, before, strict=True))


class WayCount:
    """Counters of one way from node to node. `charged`: what each of its links is taken for."""

    __slots__ = ("charged", "messages", "num_bytes")

    def __init__(self) -> None:
        self.charged = 0
        self.messages, self.num_bytes = [0] * len(CLASSES), [0] * len(CLASSES)

    def add(self, traffic: int, num_bytes: int, charged: int) -> None:
        """One message more, of a class by its place in CLASSES."""
        self.charged += charged
        self.messages[traffic] += 1
        self.num_bytes[traffic] += num_bytes


Counted = tuple[tuple[str, str], Sequence[str], WayCount]  # pair, links of one of its ways


class Links(Protocol):
    """What links say of themselves: `sharing.LinkSharing`."""

    def peak(self, name: str) -> int: ...

    def moved_bytes(self, name: str, now_ns: int) -> int: ...

    def busy_ns(self, name: str, now_ns: int) -> int: ...


def counts_of(now_ns: int, ways: Iterable[Counted], links: Links) -> NetworkCounts:
    """Until now, of links that have gone on to now."""
    talk = dict[tuple[str, str], TalkCount]()
    by_link = dict[str, tuple[int, ...]]()
    for pair, names, count in ways:
        known = talk.get(pair, _NO_TALK)
        byte_hops = known.byte_hops + count.charged * len(names)
        messages = _sum(known.messages, count.messages)
        talk[pair] = TalkCount(messages, _sum(known.num_bytes, count.num_bytes), byte_hops)
        for name in names:
            by_link[name] = _sum(by_link.get(name, _NONE), count.num_bytes)
    told = {
        name: LinkCount(
            num_bytes,
            links.moved_bytes(name, now_ns),
            links.busy_ns(name, now_ns),
            links.peak(name),
        )
        for name, num_bytes in by_link.items()
    }
    return NetworkCounts(now_ns, told, talk)

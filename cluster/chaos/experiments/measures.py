"""What a phase showed, in numbers: all from what readers heard, and when."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.chaos.heard import Heard
from cluster.reports.summary import percentile


@dataclass(slots=True)
class Told(Heard):
    """Also when: arrivals are (emulated ns, tokens that came then)."""

    arrivals: list[tuple[int, int]] = field(default_factory=list)

    @property
    def ttft_ns(self) -> int | None:
        return self.arrivals[0][0] - self.asked_ns if self.arrivals else None

    @property
    def tpot_ns(self) -> float | None:
        """Of an answer of two tokens and more that come apart."""
        later = sum(count for _, count in self.arrivals[1:])
        if not self.is_answered or not later:
            return None
        return (self.arrivals[-1][0] - self.arrivals[0][0]) / later

    def gaps(self) -> Iterator[tuple[int, int, bool]]:
        """(from when, until when, whether before the first token) nothing came."""
        last_ns = self.asked_ns
        for number, (at_ns, _) in enumerate(self.arrivals):
            yield last_ns, at_ns, not number
            last_ns = at_ns
        if self.code and self.ended_ns is not None:
            yield last_ns, self.ended_ns, not self.arrivals


@dataclass(slots=True)
class Phase:
    """One phase of an experiment.

    onset_ns   when the first fault began       fired   how often one struck
    usual_ns   the longest gaps of the baseline: before a first token, and between others
    spells     (what, from, until) of each fault; None: until the end
    """

    name: str
    told: list[Told] = field(default_factory=list)
    begun_ns: int = 0
    ended_ns: int = 0
    onset_ns: int | None = None
    fired: int = 0
    usual_ns: tuple[int, int] = (0, 0)
    spells: list[tuple[str, int, int | None]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    trace_hash: str = ""

    def longest_gaps(self) -> tuple[int, int]:
        """Before a first token, and between others."""
        gaps = [gap for one in self.told for gap in one.gaps()]
        first = max((to - since for since, to, is_first in gaps if is_first), default=0)
        other = max((to - since for since, to, is_first in gaps if not is_first), default=0)
        return first, other


# So many times as long as the longest of the baseline is a gap that a fault made.
LATE = 2


@dataclass(frozen=True, slots=True)
class Measure:
    """unit   ns, "" of what is counted, or another that is shown       meaning   for `list`"""

    unit: str
    meaning: str
    value: Callable[[Phase], float | None]


def _at(share: float, of: Callable[[Told], float | None]) -> Callable[[Phase], float | None]:
    def value(phase: Phase) -> float | None:
        found = sorted(seen for one in phase.told if (seen := of(one)) is not None)
        return percentile(found, share) if found else None

    return value


def wrong_tokens(phase: Phase) -> int:
    """Tokens that are not those of the reference at their position, flagged ones too."""
    return sum(
        told != right
        for one in phase.told
        for told, right in zip(one.tokens, one.right, strict=False)
    )


def lost_tokens(phase: Phase) -> int:
    """What is missing of answers that ended well, and positions that streams left out."""
    missing = sum(max(0, len(one.right) - len(one.tokens)) for one in phase.told if one.is_answered)
    left_out = (max(0, at - before) for one in phase.told for at, before in one.positions)
    return missing + sum(left_out)


def repeated_tokens(phase: Phase) -> int:
    """Told at a position that was told before, or beyond the whole answer."""
    again = sum(max(0, before - at) for one in phase.told for at, before in one.positions)
    return again + sum(max(0, len(one.tokens) - len(one.right)) for one in phase.told)


def _rate(count: Callable[[Phase], float]) -> Callable[[Phase], float | None]:
    def value(phase: Phase) -> float | None:
        span_ns = phase.ended_ns - phase.begun_ns
        return count(phase) * 1e9 / span_ns if span_ns else None

    return value


def recovery_ns(phase: Phase) -> float | None:
    """From the first fault until the last gap that it made was over; 0 where it made none."""
    onset_ns, (first_ns, other_ns) = phase.onset_ns, phase.usual_ns
    if onset_ns is None:
        return None
    late = [
        to
        for one in phase.told
        for since, to, is_first in one.gaps()
        if to > onset_ns and to - since > LATE * (first_ns if is_first else other_ns)
    ]
    return max(late, default=onset_ns) - onset_ns


def _count(is_so: Callable[[Told], bool]) -> Callable[[Phase], float]:
    return lambda phase: sum(is_so(one) for one in phase.told)


def _tokens(phase: Phase) -> float:
    return sum(len(one.tokens) for one in phase.told)


_answered = _count(lambda one: one.is_answered)
_refused = _count(lambda one: one.code == "queue_full")
_cut = _count(lambda one: bool(one.code and one.tokens))
_failed = _count(lambda one: bool(one.code) and one.code != "queue_full")
MEASURES: Mapping[str, Measure] = {
    "requests": Measure("", "asked", lambda phase: len(phase.told)),
    "answered": Measure("", "requests that got a whole answer", _answered),
    "failed": Measure("", "requests that ended with an error, refused ones left out", _failed),
    "cut_streams": Measure("", "of these, after a first token", _cut),
    "refused": Measure("", "requests refused at once, with a time to come back (429)", _refused),
    "wrong_tokens": Measure("", "tokens that differ from the reference", wrong_tokens),
    "lost_tokens": Measure("", "tokens missing in answers that ended well", lost_tokens),
    "repeated_tokens": Measure("", "tokens told twice", repeated_tokens),
    "broken_laws": Measure("", "ways in which a law was broken", lambda p: len(p.broken)),
    "held": Measure("", "kinds of things still held when idle", lambda p: len(p.held)),
    "fired": Measure("", "how often a fault struck", lambda phase: phase.fired),
    "p50_ttft": Measure("ns", "time to first token, median", _at(0.5, lambda t: t.ttft_ns)),
    "p99_ttft": Measure("ns", "time to first token, 99 %", _at(0.99, lambda t: t.ttft_ns)),
    "p50_tpot": Measure("ns", "time per output token, median", _at(0.5, lambda t: t.tpot_ns)),
    "p99_tpot": Measure("ns", "time per output token, 99 %", _at(0.99, lambda t: t.tpot_ns)),
    "stall": Measure("ns", "longest gap within a stream", lambda p: p.longest_gaps()[1]),
    "recovery": Measure("ns", "from the first fault to the end of what it made late", recovery_ns),
    "throughput": Measure("tokens/s", "tokens told a second", _rate(_tokens)),
    "goodput": Measure("answers/s", "whole answers a second", _rate(_answered)),
}


def spread(phase: Phase, width_ns: int) -> Sequence[tuple[int, float, float | None]]:
    """Of each span of time: its middle, tokens a second, and the mean gap between tokens in ns."""
    count = max(1, -(-(phase.ended_ns - phase.begun_ns) // width_ns))
    tokens, gaps = [0] * count, [list[int]() for _ in range(count)]
    for one in phase.told:
        for at_ns, told in one.arrivals:
            tokens[min(count - 1, (at_ns - phase.begun_ns) // width_ns)] += told
        for since, to, is_first in one.gaps():
            if not is_first:
                gaps[min(count - 1, (to - phase.begun_ns) // width_ns)].append(to - since)
    return [
        (
            phase.begun_ns + width_ns * number + width_ns // 2,
            tokens[number] * 1e9 / width_ns,
            sum(gaps[number]) / len(gaps[number]) if gaps[number] else None,
        )
        for number in range(count)
    ]

"""Where fair sharing meets the clock: one timer, for the next end that the policy names.

Every flow that joins or leaves moves that end, and the timer with it. A flow's owner hears of the
end when it has come, from the timer or from whoever joins later than it:

    start ──▶ policy: next end 900 ──▶ timer 900
    start ──▶ policy: next end 1400 ──▶ timer 1400     the promise is revised, nobody was told
    timer ──▶ policy: who ended by 1400? ──▶ ended(1400), next end 1800 ──▶ timer 1800
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

from workers.hardware.sharing.base import Ended, Flow, Rate
from workers.hardware.sharing.depth import alone
from workers.hardware.sharing.fair import GRAINS, Fair, FairFlow, grains, part_of
from workers.host.clock.base import Clock, Timer

F = TypeVar("F", bound=Flow)


class Policy(Protocol[F]):
    """Who gets how much while flows join and leave: `Fair` or `Paths`."""

    @property
    def next_end_ns(self) -> int | None: ...

    def join(self, now_ns: int, flow: F) -> None: ...

    def leave(self, now_ns: int, flow: F) -> None: ...

    def advance(self, now_ns: int) -> Sequence[F]: ...


class Flows(Generic[F]):
    """The flows of one policy in a node's time."""

    __slots__ = ("_clock", "_policy", "_timer", "_timer_ns")

    def __init__(self, clock: Clock, policy: Policy[F]) -> None:
        self._clock, self._policy = clock, policy
        self._timer: Timer | None = None
        self._timer_ns: int | None = None

    def start(self, now_ns: int, flow: F) -> None:
        """A flow joins; `flow.ended` is told its end when it has come."""
        ended = self._policy.advance(now_ns)
        self._policy.join(now_ns, flow)
        self._tell(ended)

    def stop(self, now_ns: int, flow: F) -> None:
        """A flow leaves and is told nothing, unless it ends by now."""
        ended = self._policy.advance(now_ns)
        self._policy.leave(now_ns, flow)
        self._tell(ended)

    def _tell(self, ended: Sequence[F]) -> None:
        """Set the timer first: who is told may start the next flow at once."""
        due_ns = self._policy.next_end_ns
        if due_ns != self._timer_ns:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_ns = due_ns
            self._timer = None if due_ns is None else self._clock.call_at(due_ns, self._due)
        for flow in ended:
            assert flow.end_ns is not None, "who has ended knows when"
            flow.ended(flow.end_ns)

    def _due(self) -> None:
        due_ns, self._timer, self._timer_ns = self._timer_ns, None, None
        if due_ns is not None:
            self._tell(self._policy.advance(due_ns))


class FairShare:
    """A resource that all who want it share fairly (`Shared`)."""

    __slots__ = ("_fair", "_flows")

    def __init__(self, clock: Clock) -> None:
        self._fair = Fair()
        self._flows = Flows(clock, self._fair)

    def serve(
        self,
        now_ns: int,
        amount: int,
        rate_per_s: Rate,
        ended: Ended,
        limit_per_s: Rate | None = None,
        *_: int,
    ) -> FairFlow:
        """Pieces end together here: how many they are says nothing."""
        limit = None if limit_per_s is None else part_of(limit_per_s, rate_per_s)
        flow = FairFlow(ended, grains(amount, rate_per_s), limit)
        self._flows.start(now_ns, flow)
        return flow

    def leave(self, now_ns: int, flow: FairFlow) -> None:
        """It wants no more, and is told nothing. Nothing happens after its end."""
        self._flows.stop(now_ns, flow)

    def begins_ns(self, now_ns: int) -> int:
        """At once: a place among the others is always free."""
        return now_ns

    def busy_ns(self, now_ns: int) -> int:
        return self._fair.busy_ns(now_ns)


class FairPlaces:
    """Pages in flight before a fair bus (`sharing.depth`): all who ask share the places fairly, and
    nobody is there sooner than it would be alone.
    """

    def __init__(self, clock: Clock, depth: int, turn: int, latency_ns: int) -> None:
        self._places, self._depth = FairShare(clock), depth
        self._turn, self._latency_ns = turn, latency_ns
        held = latency_ns * GRAINS + turn  # that long a page has its place
        self._pages_per_s = Fraction(depth * 10**9 * GRAINS, held)

    def serve(self, now_ns: int, pages: int, most: int, ended: Ended) -> None:
        depth = min(most, self._depth)
        took = alone(pages, depth, self._turn, self._latency_ns) + self._latency_ns * GRAINS
        alone_per_s = Fraction(pages * 10**9 * GRAINS, took) if pages else None
        self._places.serve(now_ns, pages, self._pages_per_s, ended, alone_per_s)

"""Flows over several resources, and the resources: what `filling` and `paths` work on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workers.hardware.sharing.base import Ended, Flow

# Of a unit a second over a ns: as `fair.GRAINS`, without its further factor, so that 128 bits hold
# whatever there is (`kernels/paths`). Equal shares of up to 32 flows are whole.
GRAINS = math.lcm(*range(1, 33))
UNIT = 1_000_000_000 * GRAINS  # grains of a unit: with so many, a unit a second is GRAINS a ns


def nobody(end_ns: int) -> None:
    """Whom a flow tells that is known by its tag alone."""


class PathFlow(Flow):
    """A flow of `amount` units over the resources of `path`, each once.

    limit_per_s   most units a second that it can take; None: as much as its path gives
    weight        its share beside others
    rank          who has less goes first: others have what is left, which may be nothing
    tag           whose it is, where flows are saved and go on elsewhere
    """

    __slots__ = (
        "amount", "held_by", "hops", "left", "level", "limit", "limit_per_s", "new_held_by",
        "new_rate", "order", "path", "promise_ns", "rank", "rate", "since_ns", "tag", "weight",
    )  # fmt: skip
    order: int  # of joining
    since_ns: int
    tag: Any
    new_rate: int  # while it is filled anew; -1: it grows still
    new_held_by: "Hop | None"

    def __init__(
        self,
        ended: Ended,
        amount: int,
        path: Sequence[str],
        limit_per_s: int | None = None,
        weight: int = 1,
        rank: int = 0,
    ) -> None:
        assert path, "a flow crosses something"
        # As `Flow` does it: a message is one, and a call more would show.
        self.ended, self.end_ns = ended, None
        self.amount, self.limit_per_s = amount, limit_per_s
        self.left = amount * UNIT  # grains still to be served at `since_ns`
        self.path, self.weight, self.rank = path, weight, rank
        self.limit = None if limit_per_s is None else limit_per_s * GRAINS  # grains a ns
        self.rate = 0  # grains a ns since `since_ns`
        self.level = 0  # the same for a weight of 1
        self.promise_ns: int | None = None  # its end if nothing changes; None: it has no rate
        self.hops: tuple[Hop, ...] = ()  # while it flows
        self.held_by: Hop | None = None  # the full resource that keeps it from more

    def saved(self) -> tuple[Any, ...]:
        """While it flows; `of_saved` goes on from there."""
        held = -1 if self.held_by is None else self.hops.index(self.held_by)
        asked = self.amount, tuple(self.path), self.limit_per_s, self.weight, self.rank
        state = self.left, self.rate, self.level, self.promise_ns, self.order, self.since_ns
        return self.tag, asked, state, held

    @classmethod
    def of_saved(cls, saved: Sequence[Any], hops: Mapping[str, "Hop"]) -> "PathFlow":
        tag, asked, state, held = saved
        flow = cls(nobody, *asked)
        flow.left, flow.rate, flow.level, flow.promise_ns, flow.order, flow.since_ns = state
        flow.tag, flow.hops = tag, tuple([hops[name] for name in flow.path])
        flow.held_by = None if held < 0 else flow.hops[held]
        for hop in flow.hops:
            hop.flows[flow.order] = flow
        return flow


class Hop:
    """One resource and who is on it, in order of joining."""

    __slots__ = ("flows", "is_known", "peak", "rate", "served", "since_ns", "top", "used")

    def __init__(self, rate_per_s: int) -> None:
        self.rate = rate_per_s * GRAINS  # grains a ns
        self.flows: dict[int, PathFlow] = {}
        self.peak = 0  # most flows at once
        self.used = 0  # grains a ns of all flows, since `since_ns`
        self.served, self.since_ns = 0, 0  # grains until then
        self.top, self.is_known = 0, True  # the highest level of its flows, where it is known

    def change(self, now_ns: int, more: int) -> None:
        """From now on it serves so many grains a ns more."""
        self.served += self.used * (now_ns - self.since_ns)
        self.since_ns = now_ns
        self.used += more

    def saved(self) -> tuple[int, ...]:
        """Flows on it are saved beside it."""
        return self.rate, self.peak, self.used, self.served, self.since_ns, self.top, self.is_known

    @classmethod
    def of_saved(cls, saved: Sequence[int]) -> "Hop":
        hop = cls(0)
        hop.rate, hop.peak, hop.used, hop.served, hop.since_ns, hop.top = saved[:-1]
        hop.is_known = bool(saved[-1])
        return hop

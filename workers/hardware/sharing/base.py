"""What all ways of sharing have in common."""

from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

Rate = float | Fraction  # units a second, above 0
Ended = Callable[[int], None]  # told the end in ns, once it is certain


class Flow:
    """What somebody asked for and is being served, together with others.

    ended    whom to tell; the policy itself tells nobody
    end_ns   when it ended; None until it has
    """

    __slots__ = ("end_ns", "ended")

    def __init__(self, ended: Ended) -> None:
        self.ended = ended
        self.end_ns: int | None = None


class Shared(Protocol):
    """A resource's time, which several ask for at once."""

    def serve(
        self,
        now_ns: int,
        amount: int,
        rate_per_s: Rate,
        ended: Ended,
        limit_per_s: Rate | None = None,
        pieces: int = 1,
        /,
    ) -> Flow | None:
        """Join at `now_ns` with an amount that takes amount / rate of the whole resource.

        limit_per_s   the flow itself goes no faster than this; None: as fast as the resource
        pieces        parts of equal size that may be served apart, where there are several servers
        ended         told the end as soon as it is certain: within this call where nothing can
                      change it any more, else when it comes

        Returns what may leave again, or None where what has joined is served.
        """
        ...

    def begins_ns(self, now_ns: int) -> int:
        """When what joins now would begin to be served."""
        ...

    def busy_ns(self, now_ns: int) -> int:
        """How long the whole resource has worked until now: at most `now_ns`."""
        ...


def duration_ns(amount: int, rate_per_s: Rate) -> int:
    """How long `amount` takes alone at a rate, rounded up: what is asked for is never free, neither
    by rounding nor by a rate that is nothing.
    """
    assert rate_per_s > 0, f"a rate of {rate_per_s} serves nothing: it must be above 0"
    return -int(-amount * 1_000_000_000 // rate_per_s)

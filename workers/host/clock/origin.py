"""Emulated time 0 as every machine of a cluster can find it.

Where the clock is the one that it was read from, that clock says it exactly. Another machine has
another clock, and must ask (`steering`).
"""

from dataclasses import dataclass

from workers.host.clock.source import ClockSource


@dataclass(frozen=True, slots=True)
class Origin:
    """One moment, on the clock with this identity."""

    clock: str
    monotonic_ns: int

    @classmethod
    def now(cls) -> "Origin":
        source = ClockSource.of_environment()
        return cls(source.identity, source.read())

    @property
    def is_here(self) -> bool:
        """Whether this process reads that clock."""
        return self.clock != "" and self.clock == ClockSource.of_environment().identity

"""Emulated time 0 as every machine of a cluster can find it.

On one machine the monotonic clock says it exactly. Another machine has another monotonic clock: it
goes by Unix time, and is as far off as the two machines' clocks are.
"""

import time
from dataclasses import dataclass
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Reading two clocks takes time in between: of so many pairs the closest counts.
PAIRS = 5


def _boot_id() -> str:
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""


@dataclass(frozen=True, slots=True)
class Origin:
    """One moment: on the monotonic clock of the machine that booted as `boot_id`, and in Unix
    time.
    """

    boot_id: str
    monotonic_ns: int
    unix_ns: int

    @classmethod
    def now(cls) -> "Origin":
        monotonic_ns, unix_ns = _both_clocks()
        return cls(_boot_id(), monotonic_ns, unix_ns)

    def here_ns(self) -> int:
        """The moment on this machine's monotonic clock."""
        if self.boot_id and self.boot_id == _boot_id():
            return self.monotonic_ns
        monotonic_ns, unix_ns = _both_clocks()
        return monotonic_ns - (unix_ns - self.unix_ns)


def _both_clocks() -> tuple[int, int]:
    """The monotonic clock and Unix time at the same moment, to a microsecond or so."""
    best: tuple[int, int, int] | None = None
    for _ in range(PAIRS):
        before_ns, unix_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        pair = (after_ns - before_ns, (before_ns + after_ns) // 2, unix_ns)
        best = pair if best is None else min(best, pair)
    assert best is not None
    return best[1], best[2]

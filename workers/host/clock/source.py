"""A machine's own clock: nanoseconds since it booted, or whatever a test makes of them.

    PERFUSE_CLOCK_SKEW="3 s, 200 ppm"    shows 3 s more than it should, and runs 200 ppm too fast

Two machines never quite agree. With the skew one machine plays two that do not.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.units import DURATION

SKEW = "PERFUSE_CLOCK_SKEW"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FORM = re.compile(r"\s*(?P<ahead>-?[\d.]+\s*(?!ppm)[a-zµ]+)?\s*,?\s*((?P<ppm>-?[\d.]+)\s*ppm)?\s*")
PPM_MAX = 100_000  # a clock beyond is none


@dataclass(frozen=True, slots=True)
class ClockSource:
    """ahead_ns   what is added to the system's monotonic clock
    ppm        by how many millionths it runs too fast
    """

    ahead_ns: int = 0
    ppm: float = 0.0

    @classmethod
    def of_environment(cls) -> "ClockSource":
        """As PERFUSE_CLOCK_SKEW says; the system's own where it says nothing. Raises ValueError."""
        said = os.environ.get(SKEW, "")
        found = _FORM.fullmatch(said)
        problem = f'{SKEW}: is {said!r}: it must be a time, a rate in ppm or both: "3 s, 200 ppm"'
        if found is None:
            raise ValueError(problem)
        ahead, ppm = found["ahead"], float(found["ppm"] or 0)
        if abs(ppm) > PPM_MAX:
            raise ValueError(f"{problem}, at most {PPM_MAX:,} ppm")
        if not ahead:
            return cls(0, ppm)
        size_ns = int(DURATION.parse(ahead.lstrip("-")))
        return cls(-size_ns if ahead.startswith("-") else size_ns, ppm)

    @property
    def read(self) -> Callable[[], int]:
        """What reads it, in nanoseconds."""
        return self._read if self.ahead_ns or self.ppm else time.monotonic_ns

    def _read(self) -> int:
        system_ns = time.monotonic_ns()
        return system_ns + self.ahead_ns + int(system_ns * self.ppm / 1e6)

    def system_ns(self, own_ns: int) -> int:
        """What CLOCK_MONOTONIC shows when this one shows `own_ns`."""
        if not (self.ahead_ns or self.ppm):
            return own_ns
        return int((own_ns - self.ahead_ns) / (1 + self.ppm / 1e6))

    @property
    def identity(self) -> str:
        """Two processes with the same one read the same clock; "" of a machine that does not say
        when it booted.
        """
        booted = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
        return f"{booted} {self.ahead_ns} {self.ppm}" if booted else ""

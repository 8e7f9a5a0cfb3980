"""What is measured of a child: seconds of one block, and where they went."""

import cProfile
import io
import os
import pstats
import time
from types import TracebackType
from typing import Any, Self

PROFILE_LINES = 45


def pin() -> None:
    """This process onto one core, the last: the first has the machine's interrupts."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


class Stopwatch:
    """`with` it around what is measured.

    profile   also ask which functions took the time, which itself takes about as long again
    """

    def __init__(self, *, profile: bool = False) -> None:
        self._profile = cProfile.Profile() if profile else None
        self.wall_s = self.cpu_s = 0.0

    def __enter__(self) -> Self:
        if self._profile is not None:
            self._profile.enable()
        self._began_s, self._began_cpu_s = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cpu_s = time.process_time() - self._began_cpu_s
        self.wall_s = time.perf_counter() - self._began_s
        if self._profile is not None:
            self._profile.disable()

    def result(self) -> dict[str, Any]:
        """Seconds on the wall, CPU seconds of all threads, and the profile's text if there is
        one.
        """
        text = io.StringIO()
        if self._profile is not None:
            stats = pstats.Stats(self._profile, stream=text)
            stats.sort_stats("tottime").print_stats(PROFILE_LINES)
        return {"wall_s": self.wall_s, "cpu_s": self.cpu_s, "profile": text.getvalue()}

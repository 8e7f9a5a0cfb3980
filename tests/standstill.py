"""Does the machine stand still while tests run? A virtual one may, and limits pass meanwhile."""

import threading
import time

TICK_S = 1.0
LONG_S = 15.0


class Standstill:
    """A thread that ticks, and notes how much later than it should it did."""

    def __init__(self, tick_s: float = TICK_S, long_s: float = LONG_S) -> None:
        self._tick_s, self._long_s = tick_s, long_s
        self._is_over = threading.Event()
        self._begun_s = self._last_s = time.monotonic()
        self._found: list[str] = []
        threading.Thread(target=self._watch, name="standstill", daemon=True).start()

    def end(self) -> list[str]:
        """What was found, a line each."""
        self._is_over.set()
        return self._found

    def tick(self, now_s: float) -> None:
        late_s = now_s - self._last_s - self._tick_s
        if late_s >= self._long_s:
            into_s = self._last_s - self._begun_s
            self._found.append(f"the machine stood still for {late_s:.0f} s, {into_s:.0f} s in")
        self._last_s = now_s

    def _watch(self) -> None:
        while not self._is_over.wait(self._tick_s):
            self.tick(time.monotonic())

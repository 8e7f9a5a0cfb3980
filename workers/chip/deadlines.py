"""Points in time after which nobody wants a sequence: one timer for all of them."""

from collections.abc import Callable

from workers.host.clock.base import Clock, Timer


class Deadlines:
    """passed   told of each name whose time has come, once"""

    def __init__(self, clock: Clock, passed: Callable[[str], object]) -> None:
        self._clock, self._passed = clock, passed
        self._due_ns: dict[str, int] = {}
        self._armed_ns = 0
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._due_ns)

    def begin(self, name: str, deadline_ns: int) -> None:
        self._due_ns[name] = due_ns = self._clock.deadline_floor(deadline_ns)
        if self._timer is None or due_ns < self._armed_ns:
            self._arm(due_ns)

    def end(self, name: str) -> None:
        """It is wanted no more, or was never known. The timer finds out by itself."""
        self._due_ns.pop(name, None)

    def _arm(self, due_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_ns = due_ns
        self._timer = self._clock.call_at(due_ns, self._look)

    def _look(self) -> None:
        self._timer, now_ns = None, self._armed_ns
        for name in [name for name, due_ns in self._due_ns.items() if due_ns <= now_ns]:
            del self._due_ns[name]
            self._passed(name)
        if self._due_ns:
            self._arm(min(self._due_ns.values()))

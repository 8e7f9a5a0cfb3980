"""A chip's own launches, and what of its machine others have meanwhile.

others   ░░░░░░░░░░░│ held until here
launch        ┄┄late┄┄▓▓▓▓▓▓▓▓▓▓▓          begins, waits for them, ends
"""

from collections.abc import Callable

from kernels.fold.rounds import Rounds, Task
from kernels.fold.terms import UnderWay


class Launching:
    """wake   called when a launch has ended"""

    def __init__(self, rounds: Rounds, wake: Callable[[], None]) -> None:
        self._rounds, self._wake = rounds, wake
        self._is_launching, self._begin_ns, self._late_ns = False, 0, 0
        self._is_running = False  # its end is set
        self._step = self._exchange = self._end_ns = self._waited_ns = 0
        self._held_ns, self._slow = 0, 1.0

    def begin(self, start_ns: int) -> None:
        """A stretch: what its first launch waits for is known now."""
        self._step = self._exchange = self._waited_ns = 0
        self._start(start_ns)

    def hold(self, until_ns: int, slow: float) -> None:
        self._held_ns, self._slow = until_ns, slow

    def _start(self, begin_ns: int) -> None:
        self._is_launching, self._begin_ns = True, begin_ns
        self._late_ns = 0
        if self._held_ns > begin_ns:
            self._late_ns = -int(-(self._held_ns - begin_ns) * self._slow // 1)

    def launch(self, took_ns: int) -> Task:
        """The next one: returns when it has ended."""
        if not took_ns:
            self._is_launching = False
            return
        if not self._is_launching:
            self._start(self._rounds.now_ns)
        self._end_ns = self._rounds.now_ns + took_ns + self._late_ns
        self._rounds.call_at(self._end_ns, self._ended)
        self._is_running = True
        yield
        self._waited_ns += self._late_ns

    def _ended(self) -> None:
        """If it was not lengthened meanwhile."""
        if self._is_launching and self._end_ns == self._rounds.now_ns:
            self._is_launching = self._is_running = False
            self._wake()

    def lengthen(self, by_ns: int) -> None:
        """That which is under way; one that begins at this instant may not have begun to run."""
        self._late_ns += by_ns
        if self._is_running:
            self._end_ns += by_ns
            self._rounds.call_at(self._end_ns, self._ended)

    def exchanged(self) -> None:
        self._exchange += 1

    def step_over(self) -> int:
        """Returns how long its launches waited for others."""
        waited_ns, self._waited_ns = self._waited_ns, 0
        self._step, self._exchange = self._step + 1, 0
        return waited_ns

    def under_way(self) -> UnderWay:
        return UnderWay(
            self._is_launching, self._begin_ns, self._late_ns, self._step, self._exchange
        )

"""A clock of rounds: at an instant all timers run in the order in which they were set, then all
tasks that they woke, in that order; what is set for the same instant meanwhile comes in its next
round. As `workers.host.clock.virtual`.
"""

import heapq
from collections.abc import Callable, Generator
from typing import Any

Task = Generator[None, None, None]


class Rounds:
    def __init__(self) -> None:
        self.now_ns = 0
        self._timers: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._num_set, self._ready = 0, list[Task]()

    def next_ns(self) -> int | None:
        return self._timers[0][0] if self._timers else None

    def call_at(self, due_ns: int, callback: Callable[..., None], *arguments: Any) -> None:
        self._num_set += 1
        heapq.heappush(self._timers, (due_ns, self._num_set, callback, arguments))

    def wake(self, task: Task | None) -> None:
        assert task is not None, "who waits has one"
        self._ready.append(task)

    def wait(self, took_ns: int, wake: Callable[[], None]) -> Task:
        """For a task that goes on when `wake` is called, in so many ns; 0: at once."""
        if took_ns:
            self.call_at(self.now_ns + took_ns, wake)
            yield

    def run(self) -> None:
        """The next round."""
        timers, self.now_ns = self._timers, self._timers[0][0]
        due = []
        while timers and timers[0][0] == self.now_ns:
            due.append(heapq.heappop(timers))
        for _, _, callback, arguments in due:
            callback(*arguments)
        ready, self._ready = self._ready, []
        for task in ready:
            next(task, None)

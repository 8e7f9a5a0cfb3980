"""Work of a user's size, beside an event loop.

    loop ── a job and its size ─▶ small jobs ─▶ thread      whoever brings little does not wait
                                ─▶ large jobs ─▶ thread      behind whoever brings much

Each thread takes the smallest of what waits for it. A job that is cancelled before its turn is
never begun. The threads are daemons, so a process that is told to end does not wait for one.
"""

import asyncio
import threading
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from itertools import count
from queue import PriorityQueue
from typing import Any, TypeVar

T = TypeVar("T")

# Sizes are in operations of the machine's scalar engine: about 1e9 of them take a second here.
# Below the first an event loop may do the job itself: some ms. ASSUMED.
IN_LINE_MAX = 1_000_000
SMALL_MAX = 20_000_000


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never really waits, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        answer: T = ended.value
        return answer
    coroutine.close()
    raise AssertionError(f"{coroutine} waits for an event loop")


class Aside:
    """Two threads, which start with their first jobs."""

    def __init__(self, name: str) -> None:
        self._name, self._is_closed = name, False
        self._small = _Thread(f"{name}: small")
        self._large = _Thread(f"{name}: large")

    async def run(self, size: int, job: Callable[[], T]) -> T:
        """What the job returns or raises; it runs in line if it is small enough."""
        if size < IN_LINE_MAX:
            return job()
        thread = self._small if size < SMALL_MAX else self._large
        return await asyncio.wrap_future(thread.put(size, job))

    def close(self) -> None:
        """What has not begun never will."""
        self._small.close()
        self._large.close()


class _Thread:
    """Does one job after the other, the smallest first, the oldest of equals."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: PriorityQueue[tuple[int, int, Future[Any] | None, Callable[[], Any]]]
        self._jobs = PriorityQueue()
        self._numbers = count()
        self._thread: threading.Thread | None = None

    def put(self, size: int, job: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        self._jobs.put((size, next(self._numbers), future, job))
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        return future

    def close(self) -> None:
        if self._thread is not None:
            self._jobs.put((-1, next(self._numbers), None, lambda: None))

    def _serve(self) -> None:
        while True:
            _, _, future, job = self._jobs.get()
            if future is None:
                return
            if future.set_running_or_notify_cancel():
                _do(future, job)
            del future, job  # a result may be large


def _do(future: "Future[Any]", job: Callable[[], Any]) -> None:
    try:
        result = job()
    except BaseException as error:
        _let_go(error)
        _tell(future.set_exception, error)
    else:
        _tell(future.set_result, result)


def _let_go(error: BaseException | None) -> None:
    """What the job had in hand goes here and now, beside the event loop: a traceback would keep
    it, and to free a million values takes as long as to read them.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _tell(tell: Callable[[Any], None], what: Any) -> None:
    try:
        tell(what)
    except RuntimeError:  # its event loop has closed: nobody waits
        return

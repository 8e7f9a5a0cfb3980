"""Garbage of a live process is looked for on a thread of its own, that of a run in virtual time
hardly ever.

By itself Python looks whenever enough has been allocated, in whichever thread that was: an event
loop whose callback makes ten objects then looks through all that a user's megabytes became, 100 ms
at a time. What stands when a node does is left out: it stands until the end.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# How often it is looked for, after how many more objects, and how many of these looks go without
# the oldest. ASSUMED: circles are rare here, and what makes none frees itself.
PERIOD_S, OBJECTS, YOUNG_LOOKS = 0.5, 10_000, 60
# Allocations beyond frees before the young are looked at, and how many such looks before the older.
GARBAGE_THRESHOLDS = (200_000, 50, 100)


class Garbage:
    """Between `begin` and `end` Python does not look by itself."""

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """What is here now stays; may come again."""
        gc.collect()
        gc.freeze()
        if self._thread is None:
            gc.disable()
            self._thread = threading.Thread(target=self._look, name="garbage", daemon=True)
            self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self._is_over.set()
            self._thread.join()
            gc.enable()
        gc.unfreeze()

    def _look(self) -> None:
        looks = 0
        while not self._is_over.wait(PERIOD_S):
            if gc.get_count()[0] >= OBJECTS:
                looks += 1
                gc.collect(1 if looks % YOUNG_LOOKS else 2)


@contextmanager
def little_garbage() -> Iterator[None]:
    """What stands, stands until the end, and what a run makes is hardly ever a circle: looking for
    garbage as often as Python does by itself took a fifth of a run.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

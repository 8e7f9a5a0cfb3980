"""A command that serves until somebody ends it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Waits in slices: a wait without end would keep Python from running signal handlers.
CHECK_EVERY_S = 0.5


class Ended:
    """Whether SIGINT or SIGTERM came."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    @property
    def has_come(self) -> bool:
        return self._event.is_set()

    def between_checks(self) -> Iterator[None]:
        """Comes back every now and then, until a signal comes."""
        while not self._event.wait(CHECK_EVERY_S):
            yield


@contextmanager
def until_signal() -> Iterator[Ended]:
    """Inside, a first signal asks for the end in order; behind it a second one ends the command as
    ever.
    """
    ended = Ended()
    replaced = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield ended
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)

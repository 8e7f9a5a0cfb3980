"""Calls that wait for other nodes are bounded by a refusal."""

from collections.abc import Iterator
from contextlib import contextmanager

from workers.errors import QueueFull

# Calls of one sort that wait for other nodes at once. They take no credits, so that they hold up
# nobody who needs no other node: this bounds them instead.
WAITING_MAX = 256


class Waiting:
    """Calls of one sort that wait for other nodes: so many, and the next is refused."""

    def __init__(self, what: str) -> None:
        self._what, self._count = what, 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises QueueFull."""
        if self._count >= WAITING_MAX:
            text = f"{self._count} calls wait for {self._what} already: try again later"
            raise QueueFull(text, retry_after_s=1)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

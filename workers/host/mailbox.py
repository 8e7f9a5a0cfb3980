"""How tasks of one node hand things to each other without losing track of emulated time."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from workers.errors import QueueFull
from workers.host.clock.base import Clock

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A bounded queue with one reader. Each item carries the time at which it was put; the
    reader advances to it.
    """

    def __init__(self, clock: Clock, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        self._items: deque[tuple[int, T]] = deque()
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Never waits. Raises QueueFull at capacity."""
        if len(self._items) >= self._capacity:
            raise QueueFull(f"a mailbox holds {self._capacity} items and is full")
        self._items.append((self._clock.now(), item))
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> T:
        """The oldest item; waits for one."""
        await self._filled()
        due_ns, item = self._items.popleft()
        self._clock.advance(due_ns)
        return item

    async def get_due(self) -> list[T]:
        """Waits for an item; returns all that are due by the time of the oldest one (or by the
        reader's, if later).
        """
        await self._filled()
        self._clock.advance(self._items[0][0])
        return self.take_due()

    def take_due(self) -> list[T]:
        """What is due by the reader's time, oldest first, perhaps nothing; never waits.

        A live host that runs late may already hold items from the reader's future: they stay for
        the next round, as they would in the virtual world.
        """
        now_ns, items = self._clock.now(), []
        while self._items and self._items[0][0] <= now_ns:
            items.append(self._items.popleft()[1])
        return items

    async def _filled(self) -> None:
        while not self._items:
            assert self._reader is None, "a mailbox has one reader"
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

"""How tasks of one node hand things to each other without losing track of emulated time."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from workers.host.clock.base import Clock
from workers.host.longest import Longest

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue with one reader. Each item carries the time at which it was put; the reader advances
    to it.

    capacity   at which whoever can wait does, before it puts (`room`). Others put at any length: a
               handler cannot wait, and what it puts is bounded by whoever sent it (credits, blocks,
               tokens of an answer). Overload is a queue that is long, not an error in a loop.
    longest    told of the queue's length whenever it is longer than ever
    """

    def __init__(
        self, clock: Clock, capacity: int | None = None, longest: Longest | None = None
    ) -> None:
        self._clock, self._capacity = clock, capacity
        self._longest, self._most = longest, 0
        self._items: deque[tuple[int, T]] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[int] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Never waits, and never refuses."""
        items = self._items
        items.append((self._clock.now(), item))
        if len(items) > self._most:
            self._most = len(items)
            if self._longest is not None:
                self._longest.seen(self._most)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def room(self) -> None:
        """Wait until it holds less than its capacity; one may wait at a time."""
        while self._capacity is not None and len(self._items) >= self._capacity:
            assert self._room is None, "one waits for room at a time"
            self._room = asyncio.get_running_loop().create_future()
            try:
                self._clock.advance(await self._room)
            finally:
                self._room = None

    async def get(self) -> T:
        """The oldest item; waits for one."""
        await self._filled()
        due_ns, item = self._items.popleft()
        self._clock.advance(due_ns)
        if self._room is not None:
            self._make_room()
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
        if items and self._room is not None:
            self._make_room()
        return items

    def _make_room(self) -> None:
        """Whoever waits goes on once there is room."""
        room = self._room
        if room is not None and not room.done() and len(self._items) < (self._capacity or 0):
            room.set_result(self._clock.now())

    async def _filled(self) -> None:
        while not self._items:
            assert self._reader is None, "a mailbox has one reader"
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

"""Group commit: what is appended together is synced together, and the event loop never waits.

On a disk that makes its caller wait, a thread writes and syncs. It begins when somebody waits for
what was appended, or a little later for what nobody waits for; what is appended meanwhile is
written with the next sync. The thread is the journal's own: the node's computes, and a step of a
model takes longer than a sync. A disk in memory is written at once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from workers.errors import PerfuseError
from workers.host.disk import Disk

# What nobody waits for waits that long, on the wall, for company. ASSUMED: at a few hundred events
# a second, a sync for each would take the better part of a core's time from a small machine.
LINGER_S = 0.02

Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


@dataclass(slots=True)
class Write:
    """Append `data` to a file and sync it; only then the files that it replaces go."""

    name: str
    data: bytearray
    replaces: list[str] = field(default_factory=list)

    def perform(self, disk: Disk) -> None:
        disk.append(self.name, bytes(self.data))
        disk.sync(self.name)
        for name in self.replaces:
            disk.delete(name)


class Writer:
    """Performs writes in order."""

    def __init__(self, disk: Disk, spawn: Spawn) -> None:
        self._disk, self._spawn = disk, spawn
        self._writes: list[Write] = []
        self._num_put = self._num_committed = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._pause: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: OSError | None = None

    def put(self, name: str, data: bytes, replaces: Sequence[str] = ()) -> None:
        """See Write. Never waits."""
        if self._error is not None:
            return
        if replaces or not self._writes or self._writes[-1].name != name:
            self._writes.append(Write(name, bytearray(), list(replaces)))
        self._writes[-1].data += data
        self._num_put += 1
        if not self._disk.waits:
            self._at_once()
            return
        if self._task is None:
            self._task = self._spawn(self._serve(), "router journal")
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LINGER_S, self._go_on)

    def _at_once(self) -> None:
        """In memory. A disk that fails is told to whoever waits, as one that makes wait tells."""
        try:
            self._perform(self._take())
        except OSError as error:
            self._error = error
        else:
            self._num_committed = self._num_put

    @property
    def is_committed(self) -> bool:
        """Whether all that was put would survive a crash."""
        return self._num_committed == self._num_put and self._error is None

    async def committed(self) -> None:
        """Until all that was put so far would survive a crash.

        Raises PerfuseError if the disk fails: nothing can be promised any more.
        """
        wanted = self._num_put
        while self._num_committed < wanted or self._error is not None:
            if self._error is not None:
                raise PerfuseError(f"the router's journal cannot be written: {self._error}")
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self._go_on()
            await waiter

    def _go_on(self) -> None:
        """Nothing lingers any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)

    async def _serve(self) -> None:
        """One sync after the other, each for all that came during the one before."""
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "journal")
        try:
            while True:
                while self._timer is not None or not self._writes:
                    self._pause = loop.create_future()
                    await self._pause
                upto = self._num_put
                await loop.run_in_executor(thread, self._perform, self._take())
                self._num_committed = upto
                self._wake()
        except OSError as error:
            self._error = error
            self._wake()
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            thread.shutdown(wait=False)

    def _take(self) -> list[Write]:
        writes, self._writes = self._writes, []
        return writes

    def _perform(self, writes: Sequence[Write]) -> None:
        for write in writes:
            write.perform(self._disk)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

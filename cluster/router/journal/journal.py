"""A journal while its router runs: events go to the disk in the order in which they happened.

    journal.router/00000007    a state, then the events since
    journal.router/00000008    the next one, once the events have outgrown the state

Group commit: on a disk that makes its caller wait, a thread writes and syncs while the event loop
goes on; whatever happens meanwhile is written with the next sync. The thread is the journal's own:
the node's computes, and a step of a model takes longer than a sync. A disk in memory is written at
once. `committed` waits for all that was appended so far.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from cluster.router.journal.codec import encode
from cluster.router.journal.records import MAGIC, pack
from cluster.router.journal.recovery import file_of
from cluster.router.machine.state import RouterState
from workers.errors import PerfuseError
from workers.host.disk import Disk

# Events are dropped for a new state when they have outgrown it, and are at least that many bytes.
COMPACT_BYTES = 4 << 20

Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


@dataclass(slots=True)
class _Write:
    """Append `data` to a file and sync it; only then the files that it replaces go."""

    name: str
    data: bytearray
    replaces: list[str] = field(default_factory=list)

    def perform(self, disk: Disk) -> None:
        disk.append(self.name, bytes(self.data))
        disk.sync(self.name)
        for name in self.replaces:
            disk.delete(name)


class Journal:
    """One router's. `begin` comes first, and may come again.

    generations   of the files on the disk, oldest first
    """

    def __init__(
        self,
        disk: Disk,
        spawn: Spawn,
        generations: Sequence[int] = (),
        *,
        compact_bytes: int = COMPACT_BYTES,
    ) -> None:
        self._disk, self._spawn, self._compact_bytes = disk, spawn, compact_bytes
        self._generation, self._number = max(generations, default=0), 0
        self._files = [file_of(generation) for generation in generations]
        self._state_bytes = self._event_bytes = 0
        self._writes: list[_Write] = []
        self._num_appended = self._num_committed = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._error: OSError | None = None

    def begin(self, state: RouterState) -> None:
        """A new file, with all that matters of the old ones."""
        self._generation += 1
        record = encode(state)
        write = _Write(file_of(self._generation), bytearray(MAGIC + pack(0, record)), self._files)
        self._files, self._number = [write.name], 1
        self._state_bytes, self._event_bytes = len(record), 0
        self._writes.append(write)
        self._appended()

    def append(self, record: bytes, state: RouterState) -> None:
        """An encoded event, and the state after it. Never waits."""
        packed = pack(self._number, record)
        self._number += 1
        self._event_bytes += len(packed)
        if not self._writes or self._writes[-1].name != self._files[-1]:
            self._writes.append(_Write(self._files[-1], bytearray()))
        self._writes[-1].data += packed
        self._appended()
        if self._event_bytes > max(self._compact_bytes, self._state_bytes):
            self.begin(state)

    async def committed(self) -> None:
        """Until all that was appended so far would survive a crash.

        Raises PerfuseError if the disk fails: nothing can be promised any more.
        """
        wanted = self._num_appended
        while self._num_committed < wanted:
            if self._error is not None:
                raise PerfuseError(f"the router's journal cannot be written: {self._error}")
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    # -- writing -----------------------------------------------------------------------------------

    def _appended(self) -> None:
        self._num_appended += 1
        if self._error is not None:
            self._writes.clear()
        elif not self._disk.waits:
            self._perform(self._take())
            self._num_committed = self._num_appended
        elif self._writer is None:
            self._writer = self._spawn(self._write(), "router journal")
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _take(self) -> list[_Write]:
        writes, self._writes = self._writes, []
        return writes

    def _perform(self, writes: Sequence[_Write]) -> None:
        for write in writes:
            write.perform(self._disk)

    async def _write(self) -> None:
        """One sync after the other, each for all that came during the one before."""
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "journal")
        try:
            while True:
                if not self._writes:
                    self._idle = loop.create_future()
                    await self._idle
                upto = self._num_appended
                await loop.run_in_executor(thread, self._perform, self._take())
                self._num_committed = upto
                self._wake()
        except OSError as error:
            self._error = error
            self._wake()
            raise
        finally:
            thread.shutdown(wait=False)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

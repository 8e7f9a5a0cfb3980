"""A journal while its router runs: events go to the disk in the order in which they happened.

journal.router/00000007    a state, then the events since
journal.router/00000008    the next one, once the events have outgrown the state
"""

from collections.abc import Sequence

from cluster.router.journal.codec import encode
from cluster.router.journal.records import MAGIC, pack
from cluster.router.journal.recovery import file_of
from cluster.router.journal.writer import Spawn, Writer
from cluster.router.machine.state import RouterState
from workers.host.disk import Disk

# Events are dropped for a new state when they have outgrown it, and are at least that many bytes.
COMPACT_BYTES = 4 << 20


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
        self._writer, self._compact_bytes = Writer(disk, spawn), compact_bytes
        self._generation, self._number = max(generations, default=0), 0
        self._files = [file_of(generation) for generation in generations]
        self._state_bytes = self._event_bytes = 0

    def begin(self, state: RouterState) -> None:
        """A new file, with all that matters of the old ones, which go when it is safe."""
        self._generation += 1
        name, record = file_of(self._generation), encode(state)
        self._writer.put(name, MAGIC + pack(0, record), self._files)
        self._files, self._number = [name], 1
        self._state_bytes, self._event_bytes = len(record), 0

    def append(self, record: bytes, state: RouterState) -> None:
        """An encoded event, and the state after it. Never waits."""
        packed = pack(self._number, record)
        self._number += 1
        self._event_bytes += len(packed)
        self._writer.put(self._files[-1], packed)
        if self._event_bytes > max(self._compact_bytes, self._state_bytes):
            self.begin(state)

    @property
    def is_committed(self) -> bool:
        """Whether all that was appended would survive a crash."""
        return self._writer.is_committed

    async def committed(self) -> None:
        """Until all that was appended so far would survive a crash.

        Raises PerfuseError if the disk fails: nothing can be promised any more.
        """
        await self._writer.committed()

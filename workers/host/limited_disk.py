"""A disk that can be full: whatever would take more of it fails, as a file system says ENOSPC.

What was written can still be read, replaced where it lies (`write_at`), synced and deleted.
"""

import errno
import os

from workers.host.disk import Disk


class LimitedDisk:
    """`disk`, which has room but while it is `fill`ed; who fills it empties it again."""

    def __init__(self, disk: Disk) -> None:
        self._disk, self.waits, self._num_fills = disk, disk.waits, 0
        self.read, self.read_at = disk.read, disk.read_at
        self.size_bytes, self.names = disk.size_bytes, disk.names
        self.write_at, self.sync, self.delete = disk.write_at, disk.sync, disk.delete

    def fill(self) -> None:
        """Nothing more fits from now on."""
        self._num_fills += 1

    def empty(self) -> None:
        """Take one `fill` back."""
        assert self._num_fills, "a disk that nobody filled cannot be emptied"
        self._num_fills -= 1

    def write(self, name: str, data: bytes) -> None:
        self._check_room(name)
        self._disk.write(name, data)

    def append(self, name: str, data: bytes) -> None:
        self._check_room(name)
        self._disk.append(name, data)

    def allocate(self, name: str, size_bytes: int) -> None:
        self._check_room(name)
        self._disk.allocate(name, size_bytes)

    def _check_room(self, name: str) -> None:
        """Raises OSError."""
        if self._num_fills:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

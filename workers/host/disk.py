"""A node's disk: what is written is safe after `sync`, and may be torn before.

The same rules hold for the disk in memory and for the folder: a crash keeps of each unsynced write
an arbitrary prefix, and all that was synced. An append is a write at the end: the crash keeps what
was synced of the blob, and an arbitrary prefix of what was appended since. A blob of fixed size
(`allocate`) is written in place: the crash keeps an arbitrary subset of the unsynced sectors, each
whole or torn (`workers/host/sectors.py`). Each blob is used in one of the two ways.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Protocol

from workers.host.sectors import SectorBlob, check_span


class Disk(Protocol):
    """Named blobs. Names are relative paths with forward slashes.

    waits   `sync` waits for a device: an event loop leaves it to a thread. One thread at a time may
            use one name.
    """

    waits: bool

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def write(self, name: str, data: bytes) -> None: ...

    def append(self, name: str, data: bytes) -> None:
        """Write behind what is there; a blob that is not there begins with `data`."""
        ...

    def allocate(self, name: str, size_bytes: int) -> None:
        """A blob of this many zero bytes for good, in place of what was there."""
        ...

    def size_bytes(self, name: str) -> int: ...
    def read_at(self, name: str, offset: int, num_bytes: int) -> bytes:
        """Raises FileNotFoundError; ValueError if this is not within the blob."""
        ...

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        """Overwrite a part of a blob of fixed size; raises as `read_at` does."""
        ...

    def sync(self, name: str) -> None: ...
    def delete(self, name: str) -> None: ...
    def names(self) -> list[str]: ...


class MemoryDisk:
    """The disk of a node in the virtual world."""

    waits = False

    def __init__(self) -> None:
        self._synced: dict[str, bytearray] = {}
        # What is not synced yet: whole blobs that replace the synced one, and ends of synced ones.
        self._written: dict[str, bytearray] = {}
        self._appended: dict[str, bytearray] = {}
        self._fixed: dict[str, SectorBlob] = {}

    def read(self, name: str) -> bytes:
        if name in self._fixed:
            return self._fixed[name].read(0, len(self._fixed[name]))
        if name in self._written:
            return bytes(self._written[name])
        if name not in self._synced and name not in self._appended:
            raise FileNotFoundError(name)
        return bytes(self._synced.get(name, b"")) + bytes(self._appended.get(name, b""))

    def write(self, name: str, data: bytes) -> None:
        self._check_grows(name)
        self._appended.pop(name, None)
        self._written[name] = bytearray(data)

    def append(self, name: str, data: bytes) -> None:
        self._check_grows(name)
        if name in self._written:
            self._written[name] += data
        else:
            self._appended.setdefault(name, bytearray()).extend(data)

    def _check_grows(self, name: str) -> None:
        if name in self._fixed:
            raise ValueError(f"{name!r} is of fixed size: it is written by write_at")

    def allocate(self, name: str, size_bytes: int) -> None:
        self.delete(name)
        self._fixed[name] = SectorBlob(name, size_bytes)

    def size_bytes(self, name: str) -> int:
        return len(self._fixed[name]) if name in self._fixed else len(self.read(name))

    def read_at(self, name: str, offset: int, num_bytes: int) -> bytes:
        return self._fixed_blob(name).read(offset, num_bytes)

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        self._fixed_blob(name).write(offset, data)

    def _fixed_blob(self, name: str) -> SectorBlob:
        if name not in self._fixed:
            raise FileNotFoundError(name)
        return self._fixed[name]

    def sync(self, name: str) -> None:
        if name in self._fixed:
            self._fixed[name].sync()
        elif name in self._written:
            self._synced[name] = self._written.pop(name)
        elif name in self._appended:
            self._synced.setdefault(name, bytearray()).extend(self._appended.pop(name))

    def delete(self, name: str) -> None:
        for blobs in (self._written, self._appended, self._synced):
            blobs.pop(name, None)
        self._fixed.pop(name, None)

    def names(self) -> list[str]:
        return sorted({**self._synced, **self._written, **self._appended, **self._fixed})

    def crash(self, uniform: Callable[[str], float]) -> None:
        """Tear each unsynced write: `uniform(name)` in [0, 1) says how much of it survives; more
        keys draw the sectors of a blob of fixed size, or that it was never there."""
        for name in sorted({**self._written, **self._appended}):
            replaces = name in self._written
            data = self._written[name] if replaces else self._appended[name]
            kept = data[: int(uniform(name) * (len(data) + 1))]
            if kept and replaces:
                self._synced[name] = kept
            elif kept:
                self._synced.setdefault(name, bytearray()).extend(kept)
        self._written.clear()
        self._appended.clear()
        for name, blob in sorted(self._fixed.items()):
            if not blob.was_synced and uniform(name) < 0.5:
                del self._fixed[name]
            else:
                blob.crash(uniform)


class FolderDisk:
    """The disk of a node in a live world: a folder of its own.

    Once it is closed it changes no more, whatever threads of its node still run: they get an
    OSError. The folder may then be removed, or be the disk of the node's next incarnation.
    """

    waits = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_closed, self._num_at_work = False, 0
        self._changed = Condition()
        # Files whose names their folders may not know yet after a crash.
        self._new: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise ValueError(f"disk name {name!r} leaves the disk's folder")
        return path

    def read(self, name: str) -> bytes:
        return self._path(name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        self._put(name, data, "wb")

    def append(self, name: str, data: bytes) -> None:
        self._put(name, data, "ab")

    def _put(self, name: str, data: bytes, mode: str) -> None:
        with self._at_work():
            path = self._path(name)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._new.add(name)
            with path.open(mode) as file:
                file.write(data)

    def allocate(self, name: str, size_bytes: int) -> None:
        self._put(name, b"", "wb")
        with self._at_work():
            os.truncate(self._path(name), size_bytes)

    def size_bytes(self, name: str) -> int:
        return self._path(name).stat().st_size

    def read_at(self, name: str, offset: int, num_bytes: int) -> bytes:
        with self._path(name).open("rb", buffering=0) as file:
            check_span(name, offset, num_bytes, os.fstat(file.fileno()).st_size)
            return os.pread(file.fileno(), num_bytes, offset)

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        with self._at_work(), self._path(name).open("r+b") as file:
            check_span(name, offset, len(data), os.fstat(file.fileno()).st_size)
            file.seek(offset)
            file.write(data)

    def sync(self, name: str) -> None:
        with self._at_work():
            path = self._path(name)
            _sync(path)
            if name in self._new:
                _sync(path.parent)
                self._new.discard(name)

    def delete(self, name: str) -> None:
        with self._at_work():
            self._path(name).unlink(missing_ok=True)
            self._new.discard(name)

    def names(self) -> list[str]:
        files = (p for p in self._folder.rglob("*") if p.is_file())
        return sorted(p.relative_to(self._folder).as_posix() for p in files)

    def close(self) -> None:
        """Waits for what is being written, a blob at most a thread."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: self._num_at_work == 0)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._changed:
            if self._is_closed:
                raise OSError(f"the disk {self._folder.name} is closed")
            self._num_at_work += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_at_work -= 1
                self._changed.notify_all()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A node's disk: what is written is safe after `sync`, and may be torn before.

The same rules hold for the disk in memory and for the folder: a crash keeps of each unsynced write
an arbitrary prefix, and all that was synced.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """Named blobs. Names are relative paths with forward slashes."""

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def write(self, name: str, data: bytes) -> None: ...
    def sync(self, name: str) -> None: ...
    def delete(self, name: str) -> None: ...
    def names(self) -> list[str]: ...


class MemoryDisk:
    """The disk of a node in the virtual world."""

    def __init__(self) -> None:
        self._synced: dict[str, bytes] = {}
        self._written: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        if name in self._written:
            return self._written[name]
        if name not in self._synced:
            raise FileNotFoundError(name)
        return self._synced[name]

    def write(self, name: str, data: bytes) -> None:
        self._written[name] = bytes(data)

    def sync(self, name: str) -> None:
        if name in self._written:
            self._synced[name] = self._written.pop(name)

    def delete(self, name: str) -> None:
        self._written.pop(name, None)
        self._synced.pop(name, None)

    def names(self) -> list[str]:
        return sorted({**self._synced, **self._written})

    def crash(self, uniform: Callable[[str], float]) -> None:
        """Tear each unsynced write: `uniform(name)` in [0, 1) says how much of it survives."""
        for name in sorted(self._written):
            data = self._written[name]
            kept = int(uniform(name) * (len(data) + 1))
            if kept:
                self._synced[name] = data[:kept]
        self._written.clear()


class FolderDisk:
    """The disk of a node in a live world: a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise ValueError(f"disk name {name!r} leaves the disk's folder")
        return path

    def read(self, name: str) -> bytes:
        return self._path(name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def sync(self, name: str) -> None:
        descriptor = os.open(self._path(name), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def delete(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        files = (p for p in self._folder.rglob("*") if p.is_file())
        return sorted(p.relative_to(self._folder).as_posix() for p in files)

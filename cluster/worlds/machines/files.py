"""Files that every machine must have: told apart by what is in them, and sent in pieces where they
are not.

A checkpoint may be larger than anybody wants to read twice: a long file counts by its length, both
its ends and samples in between, in which two checkpoints of one shape differ. It may be larger than
memory, too: no more than a piece of it is ever there.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# A file that is no longer than all samples is read whole; of a longer one samples are, evenly, both
# ends among them.
SAMPLE_BYTES, SAMPLES = 64 << 10, 64
PIECE_BYTES = 64 << 20


class FileSet(NamedTuple):
    """A file, or all files of a folder: where they are, and what is in them."""

    path: Path
    digest: str

    @classmethod
    def of(cls, path: Path) -> "FileSet":
        """Raises OSError where one cannot be read."""
        path = Path(os.path.abspath(path))  # without `..`, which a link would lead elsewhere
        if not _files(path):
            raise FileNotFoundError(f"{path} has no files")
        return cls(path, digest(path))

    def is_here(self) -> bool:
        """Whether the same files are here under the same path."""
        try:
            return self.path.exists() and digest(self.path) == self.digest
        except OSError:  # a path of another machine may be anything here
            return False


class Piece(NamedTuple):
    """Part of a file: its name below the folder that it is sent to, and where in it."""

    name: str
    at: int
    data: bytes


def digest(path: Path) -> str:
    """Of a file, or of all files of a folder with their names."""
    told = hashlib.sha256()
    for each in _files(path):
        size = each.stat().st_size
        told.update(os.fsencode(each.relative_to(path)) + f"\0{size}\0".encode())
        with each.open("rb") as opened:
            if size <= SAMPLES * SAMPLE_BYTES:
                told.update(opened.read())
                continue
            for sample in range(SAMPLES):
                opened.seek((size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                told.update(opened.read(SAMPLE_BYTES))
    return told.hexdigest()


def pieces(path: Path) -> Iterator[Piece]:
    """All of it, in order."""
    for each in _files(path):
        name, at = str(each.relative_to(path.parent)), 0
        with each.open("rb") as opened:
            while data := opened.read(PIECE_BYTES):
                yield Piece(name, at, data)
                at += len(data)
        if not at:
            yield Piece(name, 0, b"")


class Inbox:
    """What is sent to a machine, each file set in a folder of its own below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def receive(self, what: str, piece: Piece) -> None:
        """Raises ValueError for a name that leads out of the folder, OSError without room."""
        there = self._folder / what
        path = there / piece.name
        if not path.resolve().is_relative_to(there.resolve()):
            raise ValueError(f"{piece.name!r} leads out of its folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if piece.at else "wb") as opened:
            opened.seek(piece.at)
            opened.write(piece.data)

    def complete(self, what: str, sent: FileSet) -> Path:
        """Where it is. Raises ValueError, and removes it, where it is not what was sent."""
        there = self._folder / what / sent.path.name
        if FileSet(there, sent.digest).is_here():
            return there
        shutil.rmtree(self._folder / what, ignore_errors=True)
        raise ValueError(f"{sent.path} has changed while it was sent: let it be, and try again")


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    return [path] if path.is_file() else []

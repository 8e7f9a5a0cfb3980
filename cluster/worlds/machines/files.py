"""Files that every machine must have: told apart by what is in them, and sent where they are not.

A checkpoint may be larger than anybody wants to read twice: a long file counts by its length and
both its ends.
"""

import hashlib
import io
import tarfile
from pathlib import Path

# A file that is no longer is read whole; of a longer one this much at either end.
END_BYTES = 1 << 20


def digest(path: Path) -> str:
    """Of a file, or of all files of a folder with their names."""
    told = hashlib.sha256()
    for each in _files(path):
        told.update(f"{each.relative_to(path)}\0{each.stat().st_size}\0".encode())
        with each.open("rb") as opened:
            told.update(opened.read(END_BYTES))
            if each.stat().st_size > END_BYTES:
                opened.seek(-END_BYTES, io.SEEK_END)
                told.update(opened.read(END_BYTES))
    return told.hexdigest()


def pack(path: Path) -> bytes:
    """All of it, as one piece."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for each in _files(path):
            archive.add(each, arcname=str(each.relative_to(path.parent)))
    return packed.getvalue()


def unpack(packed: bytes, folder: Path) -> Path:
    """Below `folder`, which is made; returns the file or folder that was packed."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        names = archive.getnames()
        archive.extractall(folder, filter="data")
    return folder / Path(names[0]).parts[0]


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]

"""Inputs that are kept: what a run found new, as few and as short as will do."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.fuzz.target import Target

FOLDER = Path(__file__).parent / "corpus"
# Of one target. Eight of them, in base64, stay below 200 KB.
BYTES_MAX = 16_000


def file_of(name: str, folder: Path = FOLDER) -> Path:
    return folder / f"{name}.txt"


def kept(name: str, folder: Path = FOLDER) -> list[bytes]:
    """Those of one target; none where nothing was kept yet. Lines with # say what others are."""
    path = file_of(name, folder)
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [b64decode("".join(words)) for words in _wrapped(lines)]


def _wrapped(lines: Sequence[str]) -> Iterable[list[str]]:
    """An input is as many lines as it needs: all but its first begin with a space."""
    words: list[str] = []
    for line in lines:
        if line.startswith("#"):
            continue
        if not line.startswith(" ") and words:
            yield words
            words = []
        words.append(line.strip())
    if words:
        yield words


def inputs(name: str, target: Target, folder: Path = FOLDER) -> list[bytes]:
    """All that a target is asked before anything new: seeds, then what is kept."""
    return list(dict.fromkeys((*target.seeds(), *kept(name, folder))))


def shortest(found: Iterable[bytes], most: int = BYTES_MAX) -> list[bytes]:
    """As many as fit, short ones first: each of them reached something."""
    chosen, size = [], 0
    for one in sorted(found, key=lambda data: (len(data), data)):
        if size + len(one) > most:
            break
        chosen.append(one)
        size += len(one)
    return chosen


def keep(name: str, found: Iterable[bytes], note: str = "", folder: Path = FOLDER) -> int:
    """Add inputs to the file; how many were new."""
    known = kept(name, folder)
    new = [one for one in dict.fromkeys(found) if one and one not in known]
    with file_of(name, folder).open("a", encoding="ascii") as file:
        if note and new:
            file.write(f"# {note}\n")
        for one in new:
            text = b64encode(one).decode()
            parts = [text[at : at + 98] for at in range(0, len(text), 98)]
            file.write("\n ".join(parts) + "\n")
    return len(new)


def write_files(found: Iterable[bytes], folder: Path) -> None:
    """A file each, as libFuzzer reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        (folder / hashlib.sha1(one, usedforsecurity=False).hexdigest()).write_bytes(one)

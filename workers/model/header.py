"""The header of one safetensors file: which tensors it has, of what kind, and where.

Whatever is wrong is a CheckpointError that names file, tensor, found and expected.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.checkpoint_files import CheckpointError
from configs.outside import INTEGER_MAX, Unreadable, load_json, open_file, shown
from workers.model.tensors import Shape

# A header is JSON of names, shapes and offsets; the format itself caps it at 100 MB.
HEADER_BYTES_MAX = 100_000_000
FILE_BYTES_MAX = 1 << 44  # what a header asks for is checked to the byte


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file's header says of one tensor; offsets count from the end of the header."""

    dtype: str
    shape: Shape
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """All tensors of one file, and where their bytes begin."""

    entries: dict[str, Entry]
    data_start: int


def read_header(path: Path) -> Header:
    """Read and check one safetensors header: 8 bytes of length, JSON, then the tensors' bytes.

    Raises CheckpointError where the file is missing, cut short or no safetensors file.
    """
    try:
        with open_file(path, FILE_BYTES_MAX) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(HEADER_BYTES_MAX, size - 8):
                raise CheckpointError(
                    f"{path}: is truncated or no safetensors file: it has {size} bytes and its "
                    f"first eight ask for a header of {length}"
                )
            values = load_json(file.read(length))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: the file is missing") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    except Unreadable as error:
        text = str(error)
        where = "" if str(path) in text else f"{path}: its header is corrupt: it "
        raise CheckpointError(where + text) from error
    entries = _entries(path, values)
    data_start = 8 + length
    needed = data_start + _check_tiling(path, entries)
    if size != needed:
        state = "truncated" if size < needed else "corrupt"
        raise CheckpointError(
            f"{path}: is {state}: it has {size} bytes, its header asks for {needed}"
        )
    return Header(entries, data_start)


def _entries(path: Path, values: Any) -> dict[str, Entry]:
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: its header is corrupt: it is {shown(values)}, no object")
    entries = {}
    for name, value in values.items():
        if name == "__metadata__":
            continue
        if not isinstance(value, dict):
            raise CheckpointError(f"{path}: tensor {shown(name)} is {shown(value)}, no object")
        dtype, shape, offsets = (value.get(key) for key in ("dtype", "shape", "data_offsets"))
        sizes, ends = _sizes(shape), _sizes(offsets)
        if not isinstance(dtype, str) or sizes is None or ends is None or len(ends) != 2:
            raise CheckpointError(
                f"{path}: its header is corrupt: tensor {shown(name)} is {shown(value)}; it must "
                "have a dtype, and whole numbers of at least 0 as shape and as two data_offsets"
            )
        entries[name] = Entry(dtype, sizes, ends[0], ends[1])
    return entries


def _sizes(value: Any) -> tuple[int, ...] | None:
    """A list of whole numbers of at least 0, or None."""
    if not isinstance(value, list):
        return None
    is_right = all(type(n) is int and 0 <= n <= INTEGER_MAX for n in value)
    return tuple(value) if is_right else None


def _check_tiling(path: Path, entries: Mapping[str, Entry]) -> int:
    """Where the last tensor ends. The format has them one behind the other, from 0 on, without
    gaps: else two names could mean the same bytes, or bytes lie hidden.
    """
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != end or entry.end < entry.begin:
            raise CheckpointError(
                f"{path}: its header is corrupt: tensor {shown(name)} has bytes {entry.begin} to "
                f"{entry.end}; they must begin at {end}, where the one before it ends"
            )
        end = entry.end
    return end

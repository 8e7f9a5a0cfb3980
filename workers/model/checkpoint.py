"""Weights from safetensors files, one tensor at a time, without torch.

A reader opens no more than the files that hold what is asked for. Every tensor is checked against
the shape that the configuration demands; fp32, bf16 and fp16 all come out as fp32. Whatever is
wrong is a CheckpointError that names file, tensor, found and expected.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from configs.checkpoint_files import CheckpointError, read_json
from configs.model_config import ModelConfig
from configs.outside import INTEGER_MAX, Unreadable, load_json, open_file, shown
from workers.model.tensors import Shape, tensor_shapes

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
DTYPES = ("F32", "BF16", "F16")
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


class Checkpoint:
    """Tensors of one folder by name: one file, or several with an index.

    Use it as a context manager: files that it opened are closed at the end.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._file_by_tensor = self._find_files()
        self._headers: dict[str, Header] = {}
        self._open: dict[str, Any] = {}

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open. Safe to call twice."""
        for handle in self._open.values():
            handle.__exit__(None, None, None)
        self._open.clear()

    def _find_files(self) -> dict[str, str] | None:
        """Tensor -> file name from the index; None where one file holds all."""
        if (self.folder / SINGLE_FILE).is_file():
            return None
        index = self.folder / INDEX_FILE
        if not index.is_file():
            raise CheckpointError(
                f"{self.folder / SINGLE_FILE}: the file is missing, and so is {INDEX_FILE}; "
                f"one of them must be there"
            )
        found = read_json(index).get("weight_map")
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise CheckpointError(
                f"{index}: weight_map is {type(found).__name__}; it must map tensors to file names"
            )
        outside = next((v for v in found.values() if Path(v).name != v), None)
        if outside is not None:
            raise CheckpointError(
                f"{index}: weight_map names {outside!r}; it must name files of this folder"
            )
        return found

    def _path(self, name: str) -> Path:
        """The file that holds a tensor."""
        if self._file_by_tensor is None:
            return self.folder / SINGLE_FILE
        if name not in self._file_by_tensor:
            raise CheckpointError(
                f"{self.folder / INDEX_FILE}: weight_map does not name tensor {name}"
            )
        return self.folder / self._file_by_tensor[name]

    def check(self, name: str, shape: Shape) -> Entry:
        """What the header says of a tensor; raises CheckpointError unless it is there and fits."""
        path = self._path(name)
        if path.name not in self._headers:
            self._headers[path.name] = read_header(path)
        entry = self._headers[path.name].entries.get(name)
        if entry is None:
            raise CheckpointError(f"{path}: tensor {name} is missing; its shape must be {shape}")
        if entry.shape != shape:
            raise CheckpointError(
                f"{path}: tensor {name} has shape {entry.shape}; the configuration asks for {shape}"
            )
        if entry.dtype not in DTYPES:
            raise CheckpointError(
                f"{path}: tensor {name} has dtype {entry.dtype}; it must be one of "
                f"{', '.join(DTYPES)}"
            )
        expected = prod(shape) * (4 if entry.dtype == "F32" else 2)
        if entry.end - entry.begin != expected:
            raise CheckpointError(
                f"{path}: tensor {name} has {entry.end - entry.begin} bytes; "
                f"its shape and dtype ask for {expected}"
            )
        return entry

    def read(self, name: str, shape: Shape) -> NDArray[np.float32]:
        """One tensor in fp32, C-contiguous and owned by the caller."""
        entry = self.check(name, shape)
        path = self._path(name)
        if entry.dtype == "BF16":
            return self._read_bf16(path, entry)
        try:
            if path.name not in self._open:
                handle = safe_open(path, framework="numpy")
                self._open[path.name] = handle.__enter__()
            tensor = self._open[path.name].get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: tensor {name} cannot be read: {error}") from error
        return np.array(tensor, dtype=np.float32, order="C")

    def _read_bf16(self, path: Path, entry: Entry) -> NDArray[np.float32]:
        """numpy has no bf16, but a bf16 is the upper half of an fp32: shift it into place."""
        start = self._headers[path.name].data_start + entry.begin
        try:
            with open_file(path, FILE_BYTES_MAX) as file:
                file.seek(start)
                halves = np.frombuffer(file.read(entry.end - entry.begin), dtype="<u2")
        except (OSError, Unreadable) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
        if halves.nbytes != entry.end - entry.begin:
            raise CheckpointError(f"{path}: is truncated: it was longer when it was opened")
        words = np.left_shift(halves.astype(np.uint32), np.uint32(16))
        return words.view(np.float32).reshape(entry.shape)


def verify(folder: str | Path, config: ModelConfig) -> None:
    """Check presence, shape and dtype of every tensor from the headers alone, in milliseconds.

    Raises CheckpointError at the first that does not fit.
    """
    with Checkpoint(folder) as checkpoint:
        for name, shape in tensor_shapes(config):
            checkpoint.check(name, shape)

"""Weights from safetensors files, one tensor at a time, without torch.

A reader opens no more than the files that hold what is asked for. Every tensor is checked against
the shape that the configuration demands; fp32, bf16, fp16 and scaled fp8 all come out as fp32.
Whatever is wrong is a CheckpointError that names file, tensor, found and expected.
"""

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from configs.checkpoint_files import INDEX_FILE, SINGLE_FILE, CheckpointError, read_json
from configs.fp8 import Fp8
from configs.model_config import ModelConfig
from configs.outside import Unreadable, open_file
from workers.model.fp8_weights import UnfitScales, scaled, scales_fit
from workers.model.header import FILE_BYTES_MAX, Entry, Header, read_header
from workers.model.tensors import Shape, is_extra, projection_of, tensor_shapes

FP8_DTYPE = "F8_E4M3"
_BYTES = {"F32": 4, "BF16": 2, "F16": 2}
DTYPES = tuple(_BYTES)


class Checkpoint:
    """Tensors of one folder by name: one file, or several with an index.

    fp8   how projections are stored; None where they are as all other tensors

    Use it as a context manager: files that it opened are closed at the end.
    """

    def __init__(self, folder: str | Path, fp8: Fp8 | None = None) -> None:
        self.folder = Path(folder)
        self._fp8 = fp8
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

    def names(self) -> Iterable[str]:
        """All tensors that the folder says it has."""
        if self._file_by_tensor is not None:
            return self._file_by_tensor
        return self._header(self.folder / SINGLE_FILE).entries

    def is_empty(self, name: str) -> bool:
        """Whether a tensor has no numbers, as transformers writes what a model has none of."""
        entry = self._entry(name)
        return entry is None or prod(entry.shape) == 0

    def check(self, name: str, shape: Shape) -> Entry:
        """What the header says of a tensor; raises CheckpointError unless it is there and fits, and
        its scales as well where it is fp8.
        """
        entry = self._entry(name)
        if entry is None:
            raise CheckpointError(
                f"{self._path(name)}: tensor {name} is missing; its shape must be {shape}"
            )
        if entry.shape != shape:
            raise self._error(name, f"has shape {entry.shape}; the configuration asks for {shape}")
        fp8 = self._fp8_of(name)
        if fp8 is None:
            self._check_plain(name, entry)
            return entry
        if entry.dtype != FP8_DTYPE:
            raise self._error(
                name, f"has dtype {entry.dtype}; quantization_config says that it is {FP8_DTYPE}"
            )
        self._check_size(name, entry, 1)
        self._scales(name, entry, fp8)
        return entry

    def read(self, name: str, shape: Shape) -> NDArray[np.float32]:
        """One tensor in fp32, C-contiguous and owned by the caller."""
        entry = self.check(name, shape)
        fp8 = self._fp8_of(name)
        if fp8 is None:
            return self._read_plain(name, entry)
        scale_name, scale = self._scales(name, entry, fp8)
        codes = np.frombuffer(self._read_bytes(name, entry), dtype=np.uint8).reshape(entry.shape)
        try:
            return scaled(codes, self._read_plain(scale_name, scale), fp8)
        except UnfitScales as error:
            wrong = scale_name if error.of_scales else name
            raise self._error(wrong, f"holds {error}") from error

    def _fp8_of(self, name: str) -> Fp8 | None:
        projection = projection_of(name)
        is_wide = self._fp8 is None or projection is None or projection in self._fp8.wide
        return None if is_wide else self._fp8

    def _scales(self, name: str, entry: Entry, fp8: Fp8) -> tuple[str, Entry]:
        """Name and entry of a projection's scales."""
        names = [name.removesuffix("weight") + ending for ending in fp8.scales]
        rows, columns = entry.shape
        for scale_name in names:
            if self._file_by_tensor is not None and scale_name not in self._file_by_tensor:
                continue
            scale = self._entry(scale_name)
            if scale is None:
                continue
            if not scales_fit(scale.shape, (rows, columns), fp8):
                right = fp8.grid((rows, columns))
                raise self._error(
                    scale_name,
                    f"has shape {scale.shape}; {fp8} of {entry.shape} asks for {right}",
                )
            self._check_plain(scale_name, scale)
            return scale_name, scale
        where = self.folder / (SINGLE_FILE if self._file_by_tensor is None else INDEX_FILE)
        raise CheckpointError(
            f"{where}: tensor {' or '.join(names)} is missing; {name} is fp8 and needs its scales"
        )

    def _error(self, name: str, what: str) -> CheckpointError:
        return CheckpointError(f"{self._path(name)}: tensor {name} {what}")

    def _header(self, path: Path) -> Header:
        if path.name not in self._headers:
            self._headers[path.name] = read_header(path)
        return self._headers[path.name]

    def _entry(self, name: str) -> Entry | None:
        return self._header(self._path(name)).entries.get(name)

    def _check_plain(self, name: str, entry: Entry) -> None:
        if entry.dtype not in DTYPES:
            right = f"it must be one of {', '.join(DTYPES)}"
            if entry.dtype == FP8_DTYPE and self._fp8 is None:
                right = "config.json has no quantization_config that says how fp8 is scaled"
            raise self._error(name, f"has dtype {entry.dtype}; {right}")
        self._check_size(name, entry, _BYTES[entry.dtype])

    def _check_size(self, name: str, entry: Entry, width: int) -> None:
        expected = prod(entry.shape) * width
        if entry.end - entry.begin != expected:
            found = entry.end - entry.begin
            raise self._error(name, f"has {found} bytes; its shape and dtype ask for {expected}")

    def _read_plain(self, name: str, entry: Entry) -> NDArray[np.float32]:
        if entry.dtype == "BF16":
            # numpy has no bf16, but it is the upper half of an fp32: shift it into place.
            halves = np.frombuffer(self._read_bytes(name, entry), dtype="<u2")
            words = np.left_shift(halves.astype(np.uint32), np.uint32(16))
            return words.view(np.float32).reshape(entry.shape)
        path = self._path(name)
        try:
            if path.name not in self._open:
                handle = safe_open(path, framework="numpy")
                self._open[path.name] = handle.__enter__()
            tensor = self._open[path.name].get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise self._error(name, f"cannot be read: {error}") from error
        return np.array(tensor, dtype=np.float32, order="C")

    def _read_bytes(self, name: str, entry: Entry) -> bytes:
        path = self._path(name)
        try:
            with open_file(path, FILE_BYTES_MAX) as file:
                file.seek(self._header(path).data_start + entry.begin)
                data = file.read(entry.end - entry.begin)
        except (OSError, Unreadable) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
        if len(data) != entry.end - entry.begin:
            raise CheckpointError(f"{path}: is truncated: it was longer when it was opened")
        return data


def verify(folder: str | Path, config: ModelConfig) -> None:
    """Check presence, shape and dtype of every tensor from the headers alone, in milliseconds, and
    that no layer has more of them: a bias or a norm that nobody reads would change every token.

    Raises CheckpointError at the first that does not fit.
    """
    with Checkpoint(folder, config.fp8) as checkpoint:
        known = set()
        for name, shape in tensor_shapes(config):
            checkpoint.check(name, shape)
            known.add(name)
        for name in checkpoint.names():
            if name in known or is_extra(config, name):
                continue
            if not checkpoint.is_empty(name):
                raise CheckpointError(
                    f"{folder}: tensor {name} is there, and {config.architecture} has none of "
                    "that name: it would be ignored"
                )

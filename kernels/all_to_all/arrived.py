"""What came for this rank's experts, where it lies."""

import mmap
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels import codec
from kernels.all_to_all.geometry import DTYPES, Geometry
from kernels.numbers import Floats, from_bf16

# What the native code says of each: source, epoch, round, tokens, tag.
_FOUND = struct.Struct("5q")


class Regions:
    """Views of a rank's own arena, read where they lie. Experts, which index something, are copied
    first: a sender could change them after the check.

    Letters: P parities, S sources, C capacity, K experts a token.
    """

    def __init__(self, geometry: Geometry, memory: mmap.mmap) -> None:
        layout, each = geometry.layout(), geometry.experts_per_token
        self.format, self.hidden = geometry.send, geometry.hidden
        width = layout.send_row if geometry.send == "int8" else geometry.hidden

        def view(at: int, dtype: type[np.generic], width: int, row_bytes: int) -> Any:
            """[P][S] of [C, width]: a list's entry is had in a third of the time of an array's."""
            item = np.dtype(dtype).itemsize
            all_of_them: NDArray[Any] = np.ndarray(
                (2, geometry.world, geometry.capacity, width),
                dtype,
                memory,
                layout.work_begin + at,
                (geometry.world * layout.work, layout.work, row_bytes, item),
            )
            all_of_them.flags.writeable = False
            return [list(of_parity) for of_parity in all_of_them]

        self.requests = view(layout.requests, np.uint64, 1, 8)
        self.positions = view(layout.positions, np.int64, 1, 8)
        self.weights = view(layout.weights, np.float32, each, 4 * each)
        self.rows = view(layout.rows, DTYPES[geometry.send], width, layout.send_row)
        self.experts = np.zeros((2, geometry.world, geometry.capacity, each), np.int32)
        self.found = np.zeros((2 * geometry.world, 5), np.int64)
        self._found = memoryview(self.found).cast("B")  # type: ignore[arg-type]

    def arrived(self, count: int) -> "list[Arrived]":
        found = self._found
        return [
            Arrived(self, _FOUND.unpack_from(found, at))
            for at in range(0, count * _FOUND.size, _FOUND.size)
        ]


class Arrived:
    """A dispatch of N tokens.

    source, epoch  the rank that sent it, and which incarnation
    round          counts its dispatches to this rank
    num_tokens     N, 0 where nothing was for this rank
    tag            the sender's word: which layer

    Its arrays are views; they hold until the answer is sent.
    """

    __slots__ = ("_regions", "epoch", "num_tokens", "round", "source", "tag")

    def __init__(self, regions: Regions, numbers: tuple[int, ...]) -> None:
        self._regions = regions
        self.source, self.epoch, self.round, self.num_tokens, self.tag = numbers

    def __repr__(self) -> str:
        return (
            f"Arrived(source={self.source}, epoch={self.epoch}, round={self.round}, "
            f"num_tokens={self.num_tokens}, tag={self.tag})"
        )

    @property
    def rows(self) -> NDArray[Any]:
        """As they travel, in the arena: float32 [N, H], bf16 as uint16 [N, H], or int8 as the codec
        packs it, uint8 [N, row_bytes]. Read-only.
        """
        rows: NDArray[Any] = self._regions.rows[self.round & 1][self.source]
        return rows[: self.num_tokens]

    @property
    def requests(self) -> NDArray[np.uint64]:
        column: NDArray[np.uint64] = self._regions.requests[self.round & 1][self.source]
        return column[: self.num_tokens, 0]

    @property
    def positions(self) -> NDArray[np.int64]:
        column: NDArray[np.int64] = self._regions.positions[self.round & 1][self.source]
        return column[: self.num_tokens, 0]

    @property
    def experts(self) -> NDArray[np.int32]:
        """[N, K]; -1 where an expert is another rank's."""
        return self._regions.experts[self.round & 1, self.source, : self.num_tokens]

    @property
    def weights(self) -> NDArray[np.float32]:
        column: NDArray[np.float32] = self._regions.weights[self.round & 1][self.source]
        return column[: self.num_tokens]

    def floats(self) -> Floats:
        """Rows as float32 [N, H]: the view itself for fp32, else decoded."""
        rows = self.rows
        if self._regions.format == "bf16":
            return from_bf16(rows)
        if self._regions.format == "int8":
            return codec.unpack(rows, self._regions.hidden)
        return rows

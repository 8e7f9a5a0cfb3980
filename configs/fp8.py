"""Weights as fp8 checkpoints have them: a byte each (e4m3), and scales that blocks of them share.

A weight is its byte's number times the scale of its block (DeepSeek-V3, arXiv 2412.19437, section
3.3.2, and `weight_dequant` in its `inference/kernel.py`). The last block of a row or column may be
smaller than the others.
"""

from dataclasses import dataclass
from typing import Literal

SCALE_BYTES = 4  # fp32
WEIGHT_BYTES = 1


@dataclass(frozen=True, slots=True)
class Fp8:
    """How a folder's projections are stored; all else is in the folder's `dtype`.

    per      what shares a scale: blocks of `rows` x `columns`, a row, or a whole projection
    scales   endings of the names that the scales may have
    wide     projections that are no fp8 in any layer, e.g. "self_attn.o_proj"
    """

    per: Literal["block", "row", "tensor"]
    rows: int = 1
    columns: int = 1
    scales: tuple[str, ...] = ("weight_scale_inv",)
    wide: frozenset[str] = frozenset()

    def grid(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Scales of a projection: how many over its rows, and over its columns."""
        rows, columns = shape
        if self.per == "block":
            return -(-rows // self.rows), -(-columns // self.columns)
        return (rows if self.per == "row" else 1), 1

    def num_bytes(self, shape: tuple[int, int]) -> int:
        """Of a projection and its scales."""
        across, along = self.grid(shape)
        return shape[0] * shape[1] * WEIGHT_BYTES + across * along * SCALE_BYTES

    def __str__(self) -> str:
        if self.per == "block":
            return f"fp8 (blocks of {self.rows} x {self.columns})"
        return f"fp8 (a scale per {self.per})"

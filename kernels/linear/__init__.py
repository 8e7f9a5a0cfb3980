"""Dense linear layers at few rows: weights are packed once and read once a call.

    weights = linear.pack(weight_NK, "bf16")
    out_TN = linear.forward(weights, x_TK)

A row's bits do not depend on the rows beside it, in any kind. Letters: T rows, K channels in, N
out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.linear import ref
from kernels.native import lib
from kernels.numbers import Floats, Kind, Matrix


@dataclass(frozen=True, slots=True)
class Weights:
    """One packed layer. `num_bytes` is what a call reads of it."""

    kind: str
    outputs: int
    channels: int
    num_bytes: int
    stored: object  # the library's handle, or the reference's matrix


def pack(weight_NK: NDArray[Any], kind: Kind = "bf16") -> Weights:
    """Copy a weight [N, K], float32 or bf16 as uint16, into the layout of `kind`.

    Raises ValueError on another shape or dtype, and where int8 or int4 meet NaN or infinity.
    """
    if lib is None:
        matrix = ref.pack(weight_NK, kind)
        return Weights(kind, *matrix.shape, matrix.values.nbytes + matrix.scales.nbytes, matrix)
    handle = lib.linear_pack(weight_NK, kind)
    outputs, channels = weight_NK.shape
    return Weights(kind, outputs, channels, lib.linear_bytes(handle), handle)


def forward(weights: Weights, x_TK: Floats, out_TN: Floats | None = None) -> Floats:
    """x @ weight.T as float32 [T, N], into `out_TN` where given (C-contiguous).

    x_TK is float32 at any alignment and strides. Raises ValueError where a shape does not fit.
    """
    if out_TN is None:
        out_TN = np.empty((len(x_TK), weights.outputs), dtype=np.float32)
    if isinstance(weights.stored, Matrix):
        out_TN[...] = ref.forward(weights.stored, x_TK)
    else:
        lib.linear_forward(weights.stored, x_TK, out_TN)
    return out_TN

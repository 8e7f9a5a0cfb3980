"""Dense linear layers at few rows: weights are packed once and read once a call.

    weights = linear.pack(weight_NK, "bf16")
    out_TN = linear.forward(weights, x_TK)

    heads = linear.pack_heads(weight_HNK, "bf16")           # a layer for each head of attention
    out_THN = linear.forward_heads(heads, x_THK)

A row's bits do not depend on the rows beside it, in any kind. Letters: T rows, K channels in, N
out, H heads.
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


@dataclass(frozen=True, slots=True)
class Heads:
    """A packed layer for each head, with as many outputs and channels each."""

    kind: str
    heads: int
    outputs: int
    channels: int
    stored: object  # the library's handle, or the reference's matrices


def pack_heads(weight_HNK: NDArray[Any], kind: Kind = "bf16") -> Heads:
    """As `pack`, of a weight [N, K] for each head."""
    if weight_HNK.ndim != 3 or 0 in weight_HNK.shape:
        raise ValueError(
            f"weight_HNK has shape {weight_HNK.shape}; it must have 3 dimensions, none of them 0"
        )
    heads, outputs, channels = weight_HNK.shape
    stored: object
    if lib is None:
        stored = [ref.pack(weight_NK, kind) for weight_NK in weight_HNK]
    else:
        weight_NK = weight_HNK.reshape(heads * outputs, channels)
        stored = lib.linear_pack_heads(weight_NK, kind, heads)
    return Heads(kind, heads, outputs, channels, stored)


def forward_heads(heads: Heads, x_THK: Floats, out_THN: Floats | None = None) -> Floats:
    """Each head's rows times its own weight, float32 [T, H, N], into `out_THN` where given.

    x_THK    float32 at any alignment and strides
    out_THN  float32, aligned; gaps only between rows, so that it may be a part of wider rows

    One call, which reads the weights of all heads once. Raises ValueError where a shape does not
    fit.
    """
    if out_THN is None:
        out_THN = np.empty((len(x_THK), heads.heads, heads.outputs), dtype=np.float32)
    if isinstance(heads.stored, list):
        out_THN[...] = ref.forward_heads(heads.stored, x_THK)
        return out_THN
    whole = x_THK.flags.aligned and x_THK.strides[-1] == x_THK.itemsize
    lib.linear_forward_heads(heads.stored, x_THK if whole else x_THK.copy(), out_THN)
    return out_THN

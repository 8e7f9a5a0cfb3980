"""Dense linear layers in numpy: what the native code must agree with, and what runs without it."""

from typing import Any

from numpy.typing import NDArray

from kernels.numbers import Floats, Matrix, matrix, product


def pack(weight_NK: NDArray[Any], kind: str) -> Matrix:
    return matrix(weight_NK, kind, "weight_NK")


def forward(weights: Matrix, x_TK: Floats) -> Floats:
    """x @ weight.T, [T, N]."""
    if x_TK.ndim != 2 or x_TK.shape[1] != weights.shape[1]:
        raise ValueError(f"x_TK has shape {x_TK.shape}; dimension 1 must be {weights.shape[1]}")
    return product(x_TK, weights)

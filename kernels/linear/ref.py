"""Dense linear layers in numpy: what the native code must agree with, and what runs without it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.numbers import Floats, Matrix, matrix, product, quiet


def pack(weight_NK: NDArray[Any], kind: str) -> Matrix:
    return matrix(weight_NK, kind, "weight_NK")


@quiet
def forward(weights: Matrix, x_TK: Floats) -> Floats:
    """x @ weight.T, [T, N]."""
    if x_TK.ndim != 2 or x_TK.shape[1] != weights.shape[1]:
        raise ValueError(f"x_TK has shape {x_TK.shape}; dimension 1 must be {weights.shape[1]}")
    return product(x_TK, weights)


@quiet
def forward_heads(heads: Sequence[Matrix], x_THK: Floats) -> Floats:
    """Each head's rows times its own weight, [T, H, N]."""
    shape = (len(heads), heads[0].shape[1])
    if x_THK.ndim != 3 or x_THK.shape[1:] != shape:
        raise ValueError(f"x_THK has shape {x_THK.shape}; dimensions 1 and 2 must be {shape}")
    products = [product(x_THK[:, head], weights) for head, weights in enumerate(heads)]
    return np.stack(products, axis=1)

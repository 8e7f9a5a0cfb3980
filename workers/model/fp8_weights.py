"""fp8 weights as fp32: a byte is one of 256 numbers, and its block's scale multiplies it.

e4m3 ("e4m3fn" where infinities are told apart): a sign, four bits of exponent with bias 7, three of
mantissa; no infinity, and one NaN of each sign (arXiv 2209.05433, table 1).
"""

import numpy as np
from numpy.typing import NDArray

from configs.fp8 import Fp8
from workers.model.tensors import Shape

_NAN_CODES = (0x7F, 0xFF)


class UnfitScales(ValueError):
    """Weights or scales that are no numbers. of_scales: the latter."""

    def __init__(self, what: str, *, of_scales: bool) -> None:
        super().__init__(what)
        self.of_scales = of_scales


def _numbers() -> NDArray[np.float32]:
    """What each byte means."""
    codes = np.arange(256)
    exponents, mantissas = (codes >> 3) & 15, codes & 7
    normal = np.ldexp(1 + mantissas / 8, exponents - 7)
    sizes = np.where(exponents == 0, np.ldexp(mantissas / 8, -6), normal)
    numbers = np.where(codes < 128, sizes, -sizes)
    numbers[list(_NAN_CODES)] = np.nan
    return numbers.astype(np.float32)


NUMBERS = _numbers()


def scales_fit(found: Shape, shape: tuple[int, int], fp8: Fp8) -> bool:
    """Whether scales have the form that a projection of this shape needs. One for a whole row or
    projection may do without the axes of length one.
    """
    grid = fp8.grid(shape)
    if fp8.per == "block":
        return found == grid
    return found in (grid, grid[:1]) or (fp8.per == "tensor" and found == ())


def scaled(codes: NDArray[np.uint8], scales: NDArray[np.float32], fp8: Fp8) -> NDArray[np.float32]:
    """[rows, columns] fp32: one rounding, of number times scale. Raises UnfitScales."""
    if not np.isfinite(scales).all():
        raise UnfitScales("a scale that is not finite", of_scales=True)
    columns = codes.shape[1]
    weights: NDArray[np.float32] = NUMBERS[codes]
    if fp8.per != "block":
        weights *= scales.reshape(-1, 1)
    else:
        for block, row_scales in enumerate(scales):
            begin = block * fp8.rows
            weights[begin : begin + fp8.rows] *= np.repeat(row_scales, fp8.columns)[:columns]
    if not np.isfinite(weights).all():
        raise UnfitScales("a weight that is not finite", of_scales=False)
    return weights

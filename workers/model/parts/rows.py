"""Row-wise arithmetic of exact mode: a row's bits do not depend on the rows beside it.

A matrix product's rounding depends on the order in which it adds, and BLAS picks that order by
shape. So products here have one shape only: tiles of ROW_TILE rows, padded with zeros, whatever the
batch. Within a tile the row's place does not matter either, which `check_tiles` verifies on the
machine at hand before anything is served. Sums along a row (norms, softmax) use numpy's pairwise
order, which depends on the row's length alone. Everything else is element-wise.

Arrays are numpy's and not torch's because at these sizes calls, not flops, cost the time. Measured
on one thread of an AMD EPYC: one tile times a 128 x 256 matrix takes 5.5 us in numpy and 8.5 us in
torch.mm; the scores of four sequences with 128 keys 10 us and 33 us. A worker without torch also
starts 1.5 s sooner and is 190 MiB smaller.

Letters: T rows, H width in, N width out.
"""

from collections.abc import Iterable
from math import prod

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Floats = NDArray[np.float32]

# Measured for a 128 x 256 matrix, us a row in full tiles: 0.83 at 4 rows, 0.70 at 8, 0.63 at 16. A
# decode step has a few rows and pays for the whole tile, so 8.
ROW_TILE = 8

# A contribution of an expert is rounded to a multiple of 2^-32 before it is added. Multiples of
# 2^-32 below 2^20 add without any rounding in float64 (53 bits), so their sum is the same in every
# order and grouping: however the experts are placed. An fp32 residual near 1 resolves 2^-24, so
# nothing visible is lost.
GRID = 2.0**32


def one_thread() -> None:
    """Compute on one thread in this process: products split over threads could round otherwise."""
    threadpool_limits(limits=1, user_api="blas")


def padded(x_TH: Floats) -> Floats:
    """The rows in whole tiles, [tiles, ROW_TILE, H]; rows past T are zero."""
    rows, width = x_TH.shape
    tiles = -(-rows // ROW_TILE)
    if rows == tiles * ROW_TILE and x_TH.flags.c_contiguous:
        return x_TH.reshape(tiles, ROW_TILE, width)
    out = np.zeros((tiles * ROW_TILE, width), dtype=np.float32)
    out[:rows] = x_TH
    return out.reshape(tiles, ROW_TILE, width)


def linear(x_TH: Floats, weight_HN: Floats) -> Floats:
    """x @ weight, [T, N], tile by tile."""
    product = np.matmul(padded(x_TH), weight_HN)
    rows: Floats = product.reshape(-1, weight_HN.shape[1])[: x_TH.shape[0]]
    return rows


def linear_heads(x_TNH: Floats, weight_NHD: Floats) -> Floats:
    """Each head's rows times its own matrix: [T, N, H] x [N, H, D] -> [T, N, D], tile by tile."""
    tokens, heads, width = x_TNH.shape
    tiles = padded(x_TNH.reshape(tokens, heads * width))
    by_head = tiles.reshape(-1, ROW_TILE, heads, width).swapaxes(1, 2)
    product = np.matmul(by_head, weight_NHD).swapaxes(1, 2)
    rows: Floats = product.reshape(-1, heads, weight_NHD.shape[2])[:tokens]
    return rows


def transposed(weight_NH: Floats) -> Floats:
    """A stored [out, in] weight as `linear` wants it: [in, out], C-contiguous."""
    return np.ascontiguousarray(weight_NH.T)


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension; `weight` broadcasts against x."""
    scale: Floats = np.add.reduce(x * x, axis=-1, keepdims=True)
    scale *= np.float32(1.0 / x.shape[-1])
    scale += np.float32(eps)
    np.sqrt(scale, out=scale)
    out = x / scale
    out *= weight
    return out


def softmax_in_place(x: Floats) -> Floats:
    """Softmax over the last dimension of a C-contiguous array, which is overwritten."""
    x -= np.maximum.reduce(x, axis=-1, keepdims=True)
    np.exp(x, out=x)
    np.divide(x, np.add.reduce(x, axis=-1, keepdims=True), out=x)
    return x


def softmax_of_some(x: Floats) -> tuple[Floats, Floats]:
    """The same of scores of which a whole row may be -infinity, and the log of each row's sum of
    exponentials: such a row is 0 and -infinity.
    """
    most = np.maximum.reduce(x, axis=-1, keepdims=True)
    base = np.where(np.isneginf(most), np.float32(0.0), most)
    x -= base
    np.exp(x, out=x)
    total = np.add.reduce(x, axis=-1, keepdims=True)
    np.divide(x, total, out=x, where=total > 0)
    with np.errstate(divide="ignore"):
        return x, (base + np.log(total))[..., 0]


def silu_product(gate: Floats, up: Floats) -> Floats:
    """silu(gate) * up. exp overflows to infinity where silu is zero: that is the right limit."""
    with np.errstate(over="ignore"):
        out = np.exp(-gate)
    out += np.float32(1.0)
    np.divide(gate, out, out=out)
    out *= up
    return out


def on_grid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to multiples of 1 / GRID, in place: sums of these are exact in any order."""
    x *= GRID
    np.rint(x, out=x)
    x *= 1.0 / GRID
    return x


def check_tiles(weights: Iterable[Floats]) -> None:
    """Verify, once for each shape among the weights, that a row's place in its tile changes no bit.

    Weights are matrices (`linear`) or a matrix for each head (`linear_heads`). Raises RuntimeError
    where this machine's BLAS does not keep that: exact mode would not be exact.
    """
    checked: list[tuple[int, ...]] = []
    for weight in weights:
        if weight.shape in checked:
            continue
        checked.append(weight.shape)
        product, shape = linear if weight.ndim == 2 else linear_heads, weight.shape[:-1]
        width = prod(shape)
        # Any row with varied magnitudes will do; the sine of a ramp needs no generator.
        ramp = np.arange(ROW_TILE * width, dtype=np.float32)
        tile = np.sin(ramp * ramp).reshape(ROW_TILE, *shape)
        row = np.sin(ramp[:width] + 0.5).reshape(shape)
        want: Floats | None = None
        for place in range(ROW_TILE):
            mixed = tile.copy()
            mixed[place] = row
            got = product(mixed, weight)[place]
            want = got if want is None else want
            if not np.array_equal(got, want):
                raise RuntimeError(
                    f"numpy's BLAS rounds row {place} of a {ROW_TILE} x {width} tile times "
                    f"{weight.shape} unlike row 0: exact mode cannot be exact on this machine; "
                    f"numpy from PyPI (OpenBLAS) is known to work"
                )

"""Random data and the bounds that results must keep."""

import numpy as np

from kernels.numbers import Matrix, from_bf16, int8_rows, scaled, to_bf16


def normal(rng, *shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def poisoned(*shape, dtype=np.float32):
    """What a call must overwrite."""
    return np.full(shape, np.nan, dtype=dtype)


def misaligned(array):
    """The same values at an odd address."""
    raw = np.empty(array.nbytes + 1, dtype=np.uint8)[1:]
    view = raw.view()[: array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned or array.itemsize == 1
    return view


def strided(array):
    """The same values with gaps in every dimension."""
    wide = np.full([2 * n for n in array.shape], 77, dtype=array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def rounded_activations(x_TK, weight: Matrix):
    """What a kind makes of activations, as float32."""
    if weight.kind == "bf16":
        return from_bf16(to_bf16(x_TK))
    if weight.kind in ("int8", "int4"):
        return scaled(*int8_rows(x_TK), x_TK.shape[1])
    return x_TK


def product_bound(x_TK, weight: Matrix):
    """By how much a product in fp32 may miss the exact one: a rounding a step, all magnitudes."""
    sizes = np.abs(rounded_activations(x_TK, weight)).astype(np.float64)
    magnitudes = sizes @ np.abs(weight.floats()).astype(np.float64).T
    return (x_TK.shape[1] + 8) * 2.0**-23 * magnitudes + 1e-30

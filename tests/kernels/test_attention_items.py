"""What an item of attention holds is nobody's business: bits are the same."""

import numpy as np
import pytest

from kernels import native
from kernels.attention import Layout, Span
from tests.kernels.test_attention import KINDS, Case


@pytest.mark.parametrize("kind", KINDS)
def test_items_of_several_spans_have_the_bits_of_items_of_one(native_isa, kind, rng):
    """One thread takes four spans of a head at once, three threads one each. The second time a
    value is NaN, which two of three tokens see: items are done again, token by token.
    """
    case = Case(rng, kind, [2200], heads=32, kv_heads=16, dim=16)
    blocks, offsets = (x[2198:2199] for x in Layout([Span(0, 2200, case.tables[0])]).slots(16))
    nan = np.full((1, 16, 16), np.nan, dtype=np.float32)
    before = native.lib.num_threads()
    for is_finite in (True, False):
        if not is_finite:
            case.cache.write(1, blocks, offsets, case.keys[0][2198:2199], nan)
        results = []
        for threads in (1, 3):
            native.set_num_threads(threads)
            results.append(case.forward([(0, 2197, 3)]))
        native.set_num_threads(before)
        for got, want in zip(*results, strict=True):
            assert np.array_equal(got, want, equal_nan=True)
        assert np.isfinite(results[0][0][0]).all()
        assert np.isfinite(results[0][0]).all() == is_finite

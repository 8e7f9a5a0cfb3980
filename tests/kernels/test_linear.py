"""Dense products against the reference, on every instruction set."""

from typing import Any

import numpy as np
import pytest

from kernels import linear, native
from kernels.numbers import KINDS, to_bf16
from tests.kernels.data import misaligned, normal, poisoned, product_bound, read_only, strided

# Off the edges of panels (32), groups (128), units (2, 4, 8) and blocks (12, 4, 2).
SHAPES = ((1, 1, 1), (1, 32, 128), (2, 33, 127), (5, 31, 9), (13, 70, 257), (32, 100, 130))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(isa, kind, shape, rng):
    rows, outputs, channels = shape
    weight, x = normal(rng, outputs, channels), normal(rng, rows, channels)
    plain = linear.ref.pack(weight, kind)
    out = linear.forward(linear.pack(weight, kind), x, poisoned(rows, outputs))
    error = np.abs(out - linear.ref.forward(plain, x))
    assert (error <= product_bound(x, plain)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_has_the_same_bits_in_every_batch(isa, kind, rng):
    weights = linear.pack(normal(rng, 45, 200), kind)
    x = normal(rng, 29, 200)
    alone = np.concatenate([linear.forward(weights, x[t : t + 1]) for t in range(len(x))])
    for rows in (2, 3, 7, 12, 13, 29):
        assert np.array_equal(linear.forward(weights, x[:rows]), alone[:rows])


def test_fp32_has_the_same_bits_on_all_that_fuse(rng):
    fusing = [isa for isa in native.isas() if isa not in ("portable", "amx-emulated")]
    before = native.lib.isa() if native.lib else ""
    weight, x = normal(rng, 45, 200), normal(rng, 5, 200)
    results = []
    for isa in fusing:
        native.force(isa)
        results.append(linear.forward(linear.pack(weight, "fp32"), x))
    if before:
        native.force(before)
    assert all(np.array_equal(results[0], result) for result in results)


@pytest.mark.parametrize("kind", KINDS)
def test_any_alignment_stride_and_protection(isa, kind, rng):
    weight, x = normal(rng, 40, 70), normal(rng, 6, 70)
    want = linear.forward(linear.pack(weight, kind), x)
    for variant in (misaligned, strided, read_only):
        weights = linear.pack(variant(weight), kind)
        assert np.array_equal(linear.forward(weights, variant(x)), want)


def test_bf16_weights_come_as_they_are(isa, rng):
    weight, x = normal(rng, 40, 70), normal(rng, 3, 70)
    rounded = linear.pack(to_bf16(weight), "bf16")
    assert np.array_equal(
        linear.forward(rounded, x), linear.forward(linear.pack(weight, "bf16"), x)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_of_nan_or_infinity_stays_alone(isa, kind, rng):
    """Also what earlier calls left in scratch memory is never seen."""
    weights = linear.pack(normal(rng, 40, 70), kind)
    x = normal(rng, 14, 70)
    want = linear.forward(weights, x)
    bad = x.copy()
    bad[3], bad[7, 5] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        out = linear.forward(weights, bad)
    others = [t for t in range(14) if t not in (3, 7)]
    assert np.array_equal(out[others], want[others])
    assert np.isnan(out[3]).all()
    assert not np.isfinite(out[7]).any()
    assert np.array_equal(linear.forward(weights, x), want)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_rows_and_zeros(isa, kind):
    weights = linear.pack(np.zeros((5, 6), dtype=np.float32), kind)
    assert linear.forward(weights, np.empty((0, 6), dtype=np.float32)).shape == (0, 5)
    assert not linear.forward(weights, np.zeros((2, 6), dtype=np.float32)).any()


def test_large_enough_for_several_threads(isa, rng):
    """Beyond the size up to which a call is serial, and on one, two and three threads."""
    weight, x = normal(rng, 512, 300), normal(rng, 4, 300)
    weights = linear.pack(weight, "fp32")
    plain = linear.ref.pack(weight, "fp32")
    results = []
    threads = native.lib.num_threads() if native.lib else 1
    for count in (1, 2, 3):
        native.set_num_threads(count)
        results.append(linear.forward(weights, x, poisoned(4, 512)))
    native.set_num_threads(threads)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    assert (np.abs(results[0] - linear.ref.forward(plain, x)) <= product_bound(x, plain)).all()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: linear.pack(np.zeros((2, 2)), "fp32"), "weight_NK"),
        (lambda: linear.pack(np.zeros(2, np.float32), "fp32"), "weight_NK"),
        (lambda: linear.pack(np.zeros((2, 2), np.float32), "fp8"), "fp8"),  # type: ignore[arg-type]
        (lambda: linear.pack(np.full((2, 2), np.inf, np.float32), "int8"), "finite"),
        (lambda: linear.pack(np.full((2, 2), np.nan, np.float32), "int4"), "finite"),
    ],
)
def test_what_cannot_be_packed_is_refused(isa, make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_what_does_not_fit_is_refused(native_isa):
    weights = linear.pack(np.zeros((3, 4), np.float32), "bf16")
    wrong: list[Any] = [np.zeros((2, 5), np.float32), np.zeros((2, 4)), np.zeros(4, np.float32)]
    for x in wrong:
        with pytest.raises(ValueError, match="x_TK"):
            linear.forward(weights, x)
    x = np.zeros((2, 4), np.float32)
    good = np.zeros((2, 3), np.float32)
    wrong = [np.zeros((2, 4), np.float32), np.zeros((2, 3))]
    wrong += [strided(good), read_only(good), misaligned(good)]
    for out in wrong:
        with pytest.raises(ValueError, match="out_TN"):
            linear.forward(weights, x, out)
    with pytest.raises(ValueError, match="handle"):
        native.lib.linear_forward(None, x, np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("heads", "shape"), [(1, (1, 1, 1)), (3, (2, 33, 127)), (4, (13, 70, 20)), (2, (29, 32, 257))]
)
def test_heads_have_the_bits_of_a_layer_each(isa, kind, heads, shape, rng):
    """Read from wide rows and written into a part of wide rows: what lies between stays."""
    rows, outputs, channels = shape
    weight = normal(rng, heads, outputs, channels)
    x = normal(rng, rows, heads, channels + 5)[..., 2 : channels + 2]
    wide = np.full((rows, heads, outputs + 3), 7.0, dtype=np.float32)
    wide[..., :outputs] = np.nan
    packed = linear.pack_heads(weight, kind)
    linear.forward_heads(packed, x, wide[..., :outputs])
    for head in range(heads):
        want = linear.forward(linear.pack(weight[head], kind), x[:, head])
        assert np.array_equal(wide[:, head, :outputs], want)
    assert (wide[..., outputs:] == 7.0).all()
    assert np.array_equal(linear.forward_heads(packed, misaligned(x)), wide[..., :outputs])
    assert np.array_equal(linear.forward_heads(packed, strided(x)), wide[..., :outputs])


def test_heads_on_several_threads(native_isa, rng):
    """Beyond the size up to which a call is serial."""
    weight, x = normal(rng, 6, 200, 150), normal(rng, 9, 6, 150)
    packed = linear.pack_heads(weight, "fp32")
    threads = native.lib.num_threads()
    results = []
    for count in (1, 2, 3):
        native.set_num_threads(count)
        results.append(linear.forward_heads(packed, x, poisoned(9, 6, 200)))
    native.set_num_threads(threads)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_heads_of_no_rows_are_nothing(isa):
    packed = linear.pack_heads(np.zeros((2, 3, 4), np.float32), "int8")
    assert linear.forward_heads(packed, np.empty((0, 2, 4), np.float32)).shape == (0, 2, 3)


def test_heads_that_do_not_fit_are_refused(native_isa):
    for shape in ((4, 4), (0, 4, 4)):
        with pytest.raises(ValueError, match="weight_HNK"):
            linear.pack_heads(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="3 heads must have as many rows each"):
        native.lib.linear_pack_heads(np.zeros((4, 4), np.float32), "bf16", 3)
    packed = linear.pack_heads(np.zeros((2, 3, 4), np.float32), "bf16")
    x = np.zeros((5, 2, 4), np.float32)
    wrong: list[Any] = [x[:, :1], x[..., :3], x.astype(np.float64), x[0]]
    for rows in wrong:
        with pytest.raises(ValueError, match="x_THK"):
            linear.forward_heads(packed, rows)
    good = np.zeros((5, 2, 3), np.float32)
    wrong = [good[:4], good.astype(np.float64), read_only(good), misaligned(good), strided(good)]
    for out in wrong:
        with pytest.raises(ValueError, match="out_THN"):
            linear.forward_heads(packed, x, out)

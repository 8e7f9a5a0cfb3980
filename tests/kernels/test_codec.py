"""The dispatch codec against its reference, bit for bit, on every instruction set."""

import numpy as np
import pytest

from kernels import codec
from kernels.numbers import to_bf16
from tests.kernels.data import misaligned, normal, read_only, strided

SHAPES = ((1, 1), (3, 127), (5, 128), (4, 300), (0, 64))


@pytest.mark.parametrize("shape", SHAPES)
def test_codes_are_the_references(isa, shape, rng):
    x = normal(rng, *shape)
    codes, scales = codec.encode(x)
    want_codes, want_scales = codec.ref.encode(x)
    assert np.array_equal(codes, want_codes)
    assert np.array_equal(scales, want_scales)
    back = codec.decode(codes, scales)
    assert np.array_equal(back, codec.ref.decode(want_codes, want_scales))
    steps = np.repeat(scales, 128, axis=1)[:, : shape[1]]
    assert (np.abs(back - x) <= 0.5001 * steps).all()


def test_zeros_and_extremes(isa):
    x = np.zeros((3, 256), dtype=np.float32)
    x[1, :4] = (3.4e38, -3.4e38, 1e-30, 0)
    x[2, 130] = 1e-30
    codes, scales = codec.encode(x)
    assert scales[0].tolist() == [0, 0]
    assert codes[1, :4].tolist() == [127, -127, 0, 0]
    assert np.isfinite(codec.decode(codes, scales)).all()


def test_nan_spoils_its_group_only(isa, rng):
    x = normal(rng, 2, 256)
    want = codec.decode(*codec.encode(x))
    x[1, 140] = np.nan
    with np.errstate(invalid="ignore"):
        got = codec.decode(*codec.encode(x))
    assert np.array_equal(got[0], want[0])
    assert np.array_equal(got[1, :128], want[1, :128])
    assert np.isnan(got[1, 128:]).any()


@pytest.mark.parametrize("variant", [misaligned, strided, read_only])
def test_any_alignment_stride_and_protection(isa, variant, rng):
    x = normal(rng, 4, 200)
    codes, scales = codec.encode(x)
    got = codec.encode(variant(x))
    assert np.array_equal(got[0], codes)
    assert np.array_equal(got[1], scales)
    assert np.array_equal(
        codec.decode(variant(codes), variant(scales)), codec.decode(codes, scales)
    )


@pytest.mark.parametrize("hidden", [1, 64, 130, 200])
def test_packed_by_destination(isa, hidden, rng):
    tokens, num = 7, 4
    x = normal(rng, tokens, hidden)
    to = rng.integers(-1, num, (tokens, 3)).astype(np.int32)
    payload, rows, offsets = codec.pack(x, to, num)
    want = codec.ref.pack(x, to, num)
    assert np.array_equal(payload, want[0])
    assert np.array_equal(rows, want[1])
    assert np.array_equal(offsets, want[2])
    assert payload.shape[1] == codec.row_bytes(hidden) and payload.shape[1] % 64 == 0
    back = codec.unpack(payload, hidden)
    assert np.array_equal(back, codec.decode(*codec.encode(x))[rows])


def test_nothing_to_send(isa, rng):
    payload, rows, offsets = codec.pack(normal(rng, 2, 64), np.full((2, 3), -1, dtype=np.int64), 5)
    assert len(payload) == len(rows) == 0
    assert offsets.tolist() == [0] * 6


def test_the_order_of_arrival_changes_no_bit(isa, rng):
    tokens, ranks, hidden = 6, 5, 77
    pairs = [(t, r) for t in range(tokens) for r in range(ranks) if rng.random() < 0.7 or r == 0]
    rows = normal(rng, len(pairs), hidden)
    rows[::2] *= np.float32(1000)
    token, rank = np.array(pairs, dtype=np.int32).T
    want = codec.ref.reduce(rows, token, rank, tokens)
    for _ in range(4):
        order = rng.permutation(len(pairs))
        got = codec.reduce(rows[order], token[order], rank[order], tokens)
        assert np.array_equal(got, want)


def test_unused_rows_may_hold_nan(isa, rng):
    rows = normal(rng, 4, 40)
    rows[2] = np.nan
    token, rank = np.array([0, 1, -1, 1]), np.array([0, 0, 0, 1])
    got = codec.reduce(misaligned(rows), token, rank, 3)
    assert np.array_equal(got[1], rows[1] + rows[3])
    assert not got[2].any()


def test_what_does_not_fit_is_refused(isa, rng):
    x = normal(rng, 2, 64)
    with pytest.raises(ValueError, match="destinations_TD names 3"):
        codec.pack(x, np.full((2, 1), 3), 3)
    with pytest.raises(ValueError, match="num_destinations"):
        codec.pack(x, np.full((2, 1), 0), 0)
    with pytest.raises(ValueError, match="payload"):
        codec.unpack(np.zeros((2, 64), np.uint8), 64)
    with pytest.raises(ValueError, match="twice"):
        codec.reduce(x, np.array([0, 0]), np.array([1, 1]), 1)
    with pytest.raises(ValueError, match="hidden"):
        codec.row_bytes(0)
    for call in (
        lambda: codec.encode(x[0]),
        lambda: codec.pack(x[0], np.zeros((2, 1), np.int32), 1),
        lambda: codec.reduce(x[0], np.array([0]), np.array([0]), 1),
    ):
        with pytest.raises(ValueError, match=r"shape \(64,\); it must have 2 dimensions"):
            call()


def test_rows_of_messages_by_hand(isa):
    """bf16 has 8 bits: 1 + 2^-8 and 1 + 3 x 2^-8 lie in the middle and go to the even neighbour,
    1 and 1 + 2^-6. int8: the largest, 127, is code 127, so the scale is 1.
    """
    x = np.array([[1, 1 + 2.0**-8, 1 + 3 * 2.0**-8, -127, 2.5]], dtype=np.float32)
    assert codec.to_rows(x, "fp32") is x
    rounded = codec.to_rows(x, "bf16")
    assert rounded.tolist() == [[0x3F80, 0x3F80, 0x3F82, 0xC2FE, 0x4020]]
    assert codec.from_rows(rounded, 5).tolist() == [[1, 1, 1 + 2.0**-6, -127, 2.5]]
    rows = codec.to_rows(x, "int8")
    assert rows.tolist() == [[1, 1, 1, 256 - 127, 2, 0, 0, 0, 0x00, 0x00, 0x80, 0x3F]]
    assert codec.from_rows(rows, 5).tolist() == [[1, 1, 1, -127, 2]]
    assert [codec.row_width(kind, 300) for kind in ("fp32", "bf16", "int8")] == [300, 300, 312]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_rows_of_messages_are_the_references(isa, shape, kind, rng):
    x = normal(rng, *shape)
    rows = codec.to_rows(x, kind)
    want = (to_bf16 if kind == "bf16" else codec.ref.to_int8_rows)(x)
    assert rows.dtype == want.dtype
    assert np.array_equal(rows, want)
    assert rows.shape == (shape[0], codec.row_width(kind, shape[1]))
    back = codec.from_rows(rows, shape[1])
    if kind == "bf16":
        assert (np.abs(back - x) <= 2.0**-8 * np.abs(x)).all()
    else:
        assert np.array_equal(back, codec.decode(*codec.encode(x)))


@pytest.mark.parametrize("variant", [misaligned, strided, read_only])
@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_rows_of_messages_may_lie_anywhere(isa, variant, kind, rng):
    x = normal(rng, 4, 200)
    rows = codec.to_rows(x, kind)
    assert np.array_equal(codec.to_rows(variant(x), kind), rows)
    if variant is not strided or kind == "bf16" or isa == "reference":
        assert np.array_equal(codec.from_rows(variant(rows), 200), codec.from_rows(rows, 200))


@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_a_row_that_is_not_finite_spoils_no_other(isa, kind, rng):
    x = normal(rng, 3, 200)
    want = codec.from_rows(codec.to_rows(x, kind), 200)
    x[1, 150], x[2, 3] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        got = codec.from_rows(codec.to_rows(x, kind), 200)
    assert np.array_equal(got[0], want[0])
    assert not np.isfinite(got[1]).all()
    assert not np.isfinite(got[2]).all()


def test_rows_that_are_none_are_refused(isa, rng):
    with pytest.raises(ValueError, match=r"rows_TW has shape \(2, 68\); dimension 1 of int8 must"):
        codec.from_rows(np.zeros((2, 68), np.uint8), 65)
    with pytest.raises(ValueError, match="of bf16 must be 65"):
        codec.from_rows(np.zeros((2, 64), np.uint16), 65)
    with pytest.raises(ValueError, match="float64; it must be float32, uint16 or uint8"):
        codec.from_rows(np.zeros((2, 64)), 64)
    with pytest.raises(ValueError, match="must have 2 dimensions"):
        codec.to_rows(np.zeros(64, np.float32), "bf16")

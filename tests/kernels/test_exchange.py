"""Tokens spread over shards and sums merged again, against the reference, bit for bit."""

import numpy as np
import pytest

from kernels import exchange
from kernels.exchange.ref import NOBODY
from tests.kernels.data import misaligned, normal, read_only, strided


def columns(rng, tokens, each, num_experts, num_shards, hidden=5):
    """Arguments of `spread`: some experts have no owner, some tokens ask for nobody."""
    owners = rng.integers(NOBODY, num_shards, num_experts + 1).astype(np.int32)
    owners[-1] = NOBODY
    return (
        owners,
        num_shards,
        rng.integers(0, 2**64, tokens, dtype=np.uint64),
        rng.integers(0, 1000, tokens),
        rng.integers(NOBODY, num_experts, (tokens, each)).astype(np.int32),
        normal(rng, tokens, each),
        normal(rng, tokens, hidden),
    )


def same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def test_two_tokens_by_hand(isa):
    """Experts 0 and 2 are shard 0's, expert 1 is shard 1's, expert 3 nobody's."""
    owners = np.array([0, 1, 0, NOBODY, NOBODY], np.int32)
    experts = np.array([[2, 1], [0, 2], [3, NOBODY]], np.int32)
    weights = np.array([[0.25, 0.75], [0.5, 0.5], [1, 0]], np.float32)
    hidden = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    requests, positions = np.array([7, 8, 9], np.uint64), np.array([10, 20, 30])
    rows, request, position, expert, weight, row, ends = exchange.spread(
        owners, 3, requests, positions, experts, weights, hidden
    )
    assert rows.tolist() == [0, 1, 0]
    assert ends.tolist() == [2, 3, 3]
    assert request.tolist() == [7, 8, 7]
    assert position.tolist() == [10, 20, 10]
    assert expert.tolist() == [[2, NOBODY], [0, 2], [NOBODY, 1]]
    assert weight.tolist() == [[0.25, 0.75], [0.5, 0.5], [0.25, 0.75]]
    assert row.tolist() == [[1, 2], [3, 4], [1, 2]]


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (7, 2, 8, 3), (64, 8, 32, 5), (0, 2, 4, 2)])
def test_spread_is_the_references(isa, rng, sizes):
    arguments = columns(rng, *sizes)
    same(exchange.spread(*arguments), exchange.ref.spread(*arguments))


@pytest.mark.parametrize("variant", [misaligned, strided, read_only])
def test_any_alignment_stride_and_protection(isa, variant, rng):
    owners, num_shards, *arrays = columns(rng, 9, 2, 6, 3)
    wanted = exchange.ref.spread(owners, num_shards, *arrays)
    same(exchange.spread(variant(owners), num_shards, *map(variant, arrays)), wanted)
    sums, partial = np.zeros((9, 5)), normal(rng, 2, 5)
    exchange.add(sums, variant(np.array([4, 1])), variant(partial))
    assert np.array_equal(sums[[4, 1]], partial)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
@pytest.mark.parametrize("variant", [misaligned, strided, read_only])
def test_what_is_added_may_lie_anywhere(isa, variant, dtype, rng):
    """Columns of another number than a vector has, so that a row begins at any address."""
    rows, partial = np.array([4, 1, 4]), rng.integers(0, 16000, (3, 21)).astype(dtype)
    wanted, sums = np.zeros((2, 9, 21))
    exchange.add(wanted, rows, partial)
    assert wanted[[4, 1]].any(axis=1).all()
    exchange.add(sums, variant(rows), variant(partial))
    assert np.array_equal(sums, wanted)
    if dtype == np.uint16:
        return
    x = normal(rng, 3, 21)
    merged = x + partial.astype(np.float64)
    exchange.merge(x, variant(partial))
    assert np.array_equal(x, merged.astype(np.float32))


def test_rows_that_are_no_floats_travel_too(isa, rng):
    owners, num_shards, requests, positions, experts, weights, _ = columns(rng, 9, 2, 6, 3)
    digests = rng.integers(0, 2**64, 9, dtype=np.uint64)
    found = exchange.spread(owners, num_shards, requests, positions, experts, weights, digests)
    assert np.array_equal(found[5], digests[found[0]])


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_rows_as_they_travel_are_copied_to_the_byte(isa, rng, dtype):
    owners, num_shards, requests, positions, experts, weights, _ = columns(rng, 9, 2, 6, 3)
    rows = rng.integers(0, 256, (9, 13)).astype(dtype)
    for variant in (misaligned, strided, read_only):
        found = exchange.spread(
            owners, num_shards, requests, positions, experts, weights, variant(rows)
        )
        assert found[5].dtype == dtype
        assert np.array_equal(found[5], rows[found[0]])


def test_sums_in_bf16_are_widened_as_they_are_added(isa):
    """0x3F80 is 1, 0xC000 is -2, 0x3C00 is 2^-7."""
    sums = np.array([[1.0, 0.5], [0.0, 0.25]])
    exchange.add(sums, np.array([1, 0]), np.array([[0x3F80, 0xC000], [0x3C00, 0x3F80]], np.uint16))
    assert sums.tolist() == [[1 + 2.0**-7, 1.5], [1, -1.75]]


@pytest.mark.parametrize("expert", [-2, 6, 2**31 - 1])
def test_an_expert_that_is_not_there(isa, rng, expert):
    arguments = columns(rng, 4, 2, 6, 3)
    arguments[4][2, 1] = expert
    with pytest.raises(ValueError, match=f"expert {expert}; there are 6"):
        exchange.spread(*arguments)


def test_an_owner_that_is_not_there(native_isa, rng):
    arguments = columns(rng, 4, 2, 6, 3)
    arguments[0][:-1] = 3
    arguments[4][:] = 0
    with pytest.raises(ValueError, match="names shard 3; there are 3"):
        exchange.spread(*arguments)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_added_one_by_one(isa, rng, dtype):
    sums = rng.standard_normal((6, 33))
    wanted, partials = sums.copy(), rng.standard_normal((4, 33)).astype(dtype)
    rows = np.array([5, 0, 5, 2])
    for row, partial in zip(rows, partials, strict=True):
        wanted[row] += partial
    exchange.add(sums, rows, partials)
    assert np.array_equal(sums, wanted)


@pytest.mark.parametrize("row", [-1, 6])
def test_a_row_that_is_not_there_adds_nothing(native_isa, row):
    sums = np.zeros((6, 2))
    with pytest.raises(ValueError, match=f"names row {row}; there are 6"):
        exchange.add(sums, np.array([0, row]), np.ones((2, 2)))
    assert not sums.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_residual_is_rounded_once(isa, rng, dtype):
    """Half of 1's last place is lost, more than half of it is not. Infinities and NaN are values of
    their own row.
    """
    x, sums = normal(rng, 5, 19), rng.standard_normal((5, 19)).astype(dtype)
    x[1, 0], sums[1, 0], x[2, 0] = np.inf, -np.inf, np.nan
    x[3, 0], sums[3, 0] = 1, 2.0**-24
    x[4, 0], sums[4, 0] = 1, 2.0**-24 + 2.0**-30
    wanted = [
        [float(a) + float(b) for a, b in zip(*two, strict=True)]
        for two in zip(x, sums, strict=True)
    ]
    exchange.merge(x, sums)
    assert np.array_equal(x, np.array(wanted).astype(np.float32), equal_nan=True)
    assert x[3, 0] == 1 and x[4, 0] == 1 + 2.0**-23


def test_another_shape_is_refused(isa, rng):
    x = normal(rng, 2, 3)
    was = x.copy()
    with pytest.raises(ValueError, match="sums_TH"):
        exchange.merge(x, np.ones((1, 3)))
    assert np.array_equal(x, was)

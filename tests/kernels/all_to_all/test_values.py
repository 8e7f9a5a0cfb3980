"""What arrives and what comes back, against the reference, bit for bit, in every format."""

import dataclasses
from dataclasses import fields

import numpy as np
import pytest

from kernels import codec, moe
from kernels.all_to_all import Tokens, ref
from kernels.numbers import to_bf16
from tests.kernels.all_to_all.ranks import LONG_NS, geometry, group, owners, tokens
from tests.kernels.data import misaligned, normal, read_only, strided

SEND = ("fp32", "bf16", "int8")
BACK = ("fp32", "bf16", "int8", "fp64")


def exchange(ranks, sent, sums_of):
    """Every rank dispatches, every rank answers with `sums_of(rank, arrived)`; sums by rank."""
    sizes = ranks[0].geometry
    handles = [
        rank.dispatch_send(given, owners(sizes), LONG_NS, everyone=True)
        for rank, given in zip(ranks, sent, strict=True)
    ]
    for rank in ranks:
        for arrived in rank.dispatch_receive(LONG_NS, tuple(range(sizes.world))):
            assert rank.combine_send(arrived, sums_of(rank.rank, arrived))
    return [
        rank.combine_receive(handle, LONG_NS) for rank, handle in zip(ranks, handles, strict=True)
    ]


@pytest.mark.parametrize("back", BACK)
@pytest.mark.parametrize("send", SEND)
def test_values_are_the_references(native_isa, rng, send, back):
    sizes = geometry(world=3, send=send, back=back)
    sent = [tokens(rng, sizes, count) for count in (16, 0, 7)]
    answers = {}
    with group(sizes) as ranks:

        def sums_of(rank, arrived):
            want = ref.dispatch(sent[arrived.source], owners(sizes), rank, send)
            assert np.array_equal(arrived.requests, want.requests_N)
            assert np.array_equal(arrived.positions, want.positions_N)
            assert np.array_equal(arrived.experts, want.experts_NK)
            assert np.array_equal(arrived.weights, want.weights_NK)
            assert np.array_equal(arrived.floats(), want.rows_NH)
            sums = rng.standard_normal((arrived.num_tokens, sizes.hidden))
            sums = sums if back == "fp64" else sums.astype(np.float32)
            answers[arrived.source, rank] = want.tokens_N, sums
            return sums

        found = exchange(ranks, sent, sums_of)
    for source, given in enumerate(sent):
        parts = [answers[source, rank] for rank in range(3)]
        want = ref.combine(len(given.requests_T), sizes.hidden, parts, back)
        assert found[source].dtype == want.dtype
        assert np.array_equal(found[source], want)


@pytest.mark.parametrize("hidden", [1, 15, 128, 130])
@pytest.mark.parametrize("form", SEND)
def test_rows_off_the_edge_of_a_line(native_isa, rng, form, hidden):
    sizes = geometry(hidden=hidden, send=form, back=form)
    sent = [tokens(rng, sizes, 5), tokens(rng, sizes, 5)]
    with group(sizes) as ranks:
        found = exchange(ranks, sent, lambda rank, arrived: arrived.floats())
    for given, sums in zip(sent, found, strict=True):
        rows = ref.travelled(ref.travelled(given.hidden_TH, form), form)
        times = [
            (owners(sizes)[given.experts_TK] == rank).any(axis=1, keepdims=True)
            for rank in range(2)
        ]
        assert np.array_equal(sums, np.where(times[0], rows, 0) + np.where(times[1], rows, 0))


@pytest.mark.parametrize("variant", [misaligned, strided, read_only])
def test_any_alignment_stride_and_protection(variant, rng):
    sizes = geometry(back="fp32")
    given = tokens(rng, sizes, 6)
    with group(sizes) as (one, other):
        varied = Tokens(*(variant(getattr(given, field.name)) for field in fields(given)))
        handle = one.dispatch_send(varied, variant(owners(sizes)), LONG_NS, everyone=True)
        for rank in (one, other):
            (arrived,) = rank.dispatch_receive(LONG_NS)
            want = ref.dispatch(given, owners(sizes), rank.rank, "fp32")
            assert np.array_equal(arrived.rows, want.rows_NH)
            assert np.array_equal(arrived.experts, want.experts_NK)
            rank.combine_send(arrived, variant(arrived.rows))
        one.combine_receive(handle, LONG_NS)


@pytest.mark.parametrize(("form", "dtype"), [("bf16", np.uint16), ("int8", np.uint8)])
def test_rows_that_are_rounded_already_travel_as_they_are(rng, form, dtype):
    """A copy of a run where they lie as in the arena, row by row elsewhere."""
    sizes = geometry(world=1, send=form, back=form)
    given = tokens(rng, sizes, 9)
    given.experts_TK[:, 0] = 0
    given.experts_TK[4] = ref.NOBODY  # two runs
    wire: np.ndarray = to_bf16(given.hidden_TH)
    if form == "int8":
        wire, _, _ = codec.pack(given.hidden_TH, np.zeros((9, 1), np.int32), 1)
    wide = np.zeros((9, wire.shape[1] + 8), dtype)
    wide[:, : wire.shape[1]] = wire
    want = ref.travelled(given.hidden_TH, form)
    want[4] = 0
    with group(sizes) as (rank,):
        for rows in (wire, wide[:, : wire.shape[1]]):
            sent = dataclasses.replace(given, hidden_TH=rows)
            handle = rank.dispatch_send(sent, owners(sizes), LONG_NS)
            (arrived,) = rank.dispatch_receive(LONG_NS)
            assert arrived.rows.dtype == dtype and arrived.num_tokens == 8
            assert np.array_equal(arrived.rows, np.delete(wire, 4, axis=0))
            assert not arrived.rows.flags.writeable
            rank.combine_send(arrived, arrived.rows)
            assert np.array_equal(rank.combine_receive(handle, LONG_NS), want)


def test_experts_read_rows_where_they_lie(native_isa, rng):
    """Exact mode: sums of two shards equal those of one that holds all experts, bit for bit."""
    sizes = geometry(hidden=64)
    weights = [[normal(rng, *shape) for shape in ((32, 64), (32, 64), (64, 32))] for _ in range(8)]
    whole = moe.Experts("fp32", 8, 64, 32)
    halves = [moe.Experts("fp32", 4, 64, 32, range(at, at + 4)) for at in (0, 4)]
    for slot, matrices in enumerate(weights):
        whole.set(slot, *matrices)
        halves[slot // 4].set(slot % 4, *matrices)
    given = tokens(rng, sizes, 16)
    with group(sizes) as ranks:

        def sums_of(rank, arrived):
            return moe.forward(halves[rank], arrived.rows, arrived.experts, arrived.weights)

        found, _ = exchange(ranks, [given, tokens(rng, sizes, 3)], sums_of)
    want = moe.forward(whole, given.hidden_TH, given.experts_TK, given.weights_TK)
    assert np.array_equal(found, want)


def test_infinities_and_nan_are_values_of_their_own_row(rng):
    sizes = geometry(back="fp32")
    given = tokens(rng, sizes, 3)
    given.experts_TK[:] = [[0, 1, 7]] * 3
    given.hidden_TH[1, :3] = np.nan, np.inf, -np.inf
    with group(sizes) as ranks:
        found, _ = exchange(
            ranks, [given, tokens(rng, sizes, 0)], lambda rank, arrived: arrived.rows
        )
    assert np.array_equal(found, given.hidden_TH * 2, equal_nan=True)

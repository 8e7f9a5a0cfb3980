"""Absorbed latent attention against the reference, on every instruction set."""

from typing import Any

import numpy as np
import pytest

from kernels import mla, native
from kernels.mla import ref
from kernels.numbers import from_bf16, to_bf16
from tests.kernels.data import misaligned, normal, poisoned, read_only, strided

KINDS: tuple[mla.Kind, ...] = ("fp32", "bf16", "int8")
SCALE = 0.2
# Off the edges of strips (32), steps (16), tiles (256), splits (512), groups of heads (16), blocks:
# keys, new tokens, heads, block size, latent, rope, window.
SHAPES = (
    (1, 1, 1, 16, 16, 16, 0),
    (37, 5, 3, 16, 48, 16, 0),
    (301, 40, 20, 32, 32, 32, 0),
    (700, 2, 16, 64, 80, 48, 0),
    (1300, 3, 17, 16, 64, 16, 333),
    (530, 30, 5, 48, 32, 16, 21),
    (290, 1, 128, 256, 512, 64, 0),
)


def filled(rng, kind, keys, block_size, latent, rope, layers=1):
    """A cache whose unused slots are NaN or garbage, and the blocks of a sequence's keys in it."""
    num = -(-keys // block_size)
    cache = mla.LatentCache(kind, num + 2, block_size, layers, latent, rope)
    garbage = np.full((num + 2, cache.block_bytes), 0xFF, dtype=np.uint8)
    cache.write_blocks(np.arange(num + 2), garbage)
    blocks = rng.permutation(num + 2)[:num]
    layout = mla.Layout([mla.Span(0, keys, blocks)])
    latents, ropes = normal(rng, keys, latent), normal(rng, keys, rope)
    cache.write(layers - 1, *layout.slots(block_size), latents, ropes)
    return cache, blocks


def plain(cache, layer=0):
    """The reference's cache with the same bytes."""
    twin = ref.Cache(cache.kind, *cache.shape)
    twin.data[...] = cache.read_blocks(np.arange(cache.num_blocks)).reshape(twin.data.shape)
    return twin


def bounds(twin, q_HD, rows, scale):
    """By how much out and log-sum-exp may miss the reference: a rounding a step, all magnitudes."""
    q = q_HD if twin.kind == "fp32" else from_bf16(to_bf16(q_HD))
    magnitudes = scale * np.abs(q).astype(np.float64) @ np.abs(rows).astype(np.float64).T
    scores = scale * q.astype(np.float64) @ rows.astype(np.float64).T
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    score_error = (rows.shape[1] + 16) * 2.0**-23 * magnitudes.max(axis=1)
    relative = 2 * score_error + (len(rows) + 64) * 2.0**-23
    relative += 0 if twin.kind == "fp32" else 2.0**-8
    out = relative[:, None] * (weights @ np.abs(rows[:, : twin.latent]).astype(np.float64))
    return out + 1e-30, relative - (0 if twin.kind == "fp32" else 2.0**-8) + 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(isa, kind, shape, rng):
    keys, tokens, heads, block_size, latent, rope, window = shape
    cache, blocks = filled(rng, kind, keys, block_size, latent, rope)
    layout = mla.Layout([mla.Span(keys - tokens, tokens, blocks)])
    q = normal(rng, tokens, heads, latent + rope)
    out, lse = poisoned(tokens, heads, latent), poisoned(tokens, heads)
    returned = mla.forward(cache, 0, q, layout, out, lse, window, scale=SCALE)
    assert returned is out
    twin = plain(cache)
    rows = twin.rows(blocks, 0, widened=True)
    for t in range(tokens):
        position = keys - tokens + t
        seen = rows[max(0, position - window + 1) if window else 0 : position + 1]
        want, want_lse = ref.attend(
            q[t] if kind == "fp32" else from_bf16(to_bf16(q[t])), seen, latent, SCALE
        )
        out_bound, lse_bound = bounds(twin, q[t], seen, SCALE)
        assert (np.abs(out[t] - want) <= out_bound).all()
        assert (np.abs(lse[t] - want_lse) <= lse_bound).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_has_the_same_bits_in_every_batch_and_chunk(isa, kind, rng):
    """Whatever the chunks, the other sequences, the blocks and the heads beside it."""
    keys, heads, size, window = 700 + int(rng.integers(100)), 18, 16, int(rng.choice([0, 150]))
    cache, blocks = filled(rng, kind, keys, size, 32, 16)
    first = keys - 40
    q = normal(rng, 40, heads, 48)

    def run(spans, q_THD, where=cache):
        lse = poisoned(*q_THD.shape[:2])
        layout = mla.Layout(spans)
        out = mla.forward(where, 0, q_THD, layout, None, lse, window, scale=SCALE)
        return np.concatenate([out, lse[..., None]], axis=2)

    alone = np.concatenate([run([mla.Span(first + t, 1, blocks)], q[t : t + 1]) for t in range(40)])
    for _ in range(3):
        cuts = sorted(rng.choice(np.arange(1, 40), 4, replace=False).tolist())
        pairs = list(zip([0, *cuts], [*cuts, 40], strict=True))
        spans = [mla.Span(first + a, b - a, blocks) for a, b in pairs]
        assert np.array_equal(run(spans, q), alone)
        order = rng.permutation(len(pairs))
        mixed = np.concatenate([q[slice(*pairs[i])] for i in order])
        want = np.concatenate([alone[slice(*pairs[i])] for i in order])
        assert np.array_equal(run([spans[i] for i in order], mixed), want)
    assert np.array_equal(run([mla.Span(first, 40, blocks)], q[:, 5:7]), alone[:, 5:7])
    other = mla.LatentCache(kind, len(blocks), size, 1, 32, 16)
    places = rng.permutation(len(blocks))
    other.write_blocks(places, cache.read_blocks(blocks))
    assert np.array_equal(run([mla.Span(first, 40, places)], q, other), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_splits_do_not_change_bits(native_isa, kind, rng):
    """One long sequence is split between threads, many are not."""
    cache, blocks = filled(rng, kind, 9000, 64, 32, 16)
    q = normal(rng, 12, 16, 48)
    before, results = native.lib.num_threads(), []
    for threads in (1, 2, 3):
        native.set_num_threads(threads)
        for spans in (
            [mla.Span(8990, 1, blocks)],
            [mla.Span(8990, 1, blocks), mla.Span(40, 11, blocks)],
            [mla.Span(8990, 1, blocks)] * 12,
        ):
            layout = mla.Layout(spans)
            rows = q[: layout.num_tokens]
            results.append(mla.forward(cache, 0, rows, layout, scale=SCALE)[0])
    native.set_num_threads(before)
    assert all(np.array_equal(results[0], result) for result in results)


def test_fp32_has_the_same_bits_on_all_that_fuse(rng):
    if native.lib is None:
        pytest.skip("needs the native library")
    cache, blocks = filled(rng, "fp32", 600, 16, 64, 32)
    q, layout = normal(rng, 3, 16, 96), mla.Layout([mla.Span(597, 3, blocks)])
    before, results = native.lib.isa(), []
    for isa in native.isas():
        if isa not in ("portable", "amx-emulated"):
            native.force(isa)
            results.append(mla.forward(cache, 0, q, layout, scale=SCALE))
    native.force(before)
    assert all(np.array_equal(results[0], result) for result in results)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_row_does_not_see_does_not_reach_it(isa, kind, rng):
    """Rows of later positions and before the window, NaN or infinite, leave all bits alone."""
    keys, window = 290, 100
    cache, blocks = filled(rng, kind, keys, 16, 32, 16)
    q = normal(rng, 31, 4, 48)
    for position in (258, 259, 287):
        layout = mla.Layout([mla.Span(position - 30, 31, blocks)])
        want = mla.forward(cache, 0, q, layout, window=window, scale=SCALE)[-1]
        other = mla.LatentCache(kind, cache.num_blocks, 16, 1, 32, 16)
        other.write_blocks(blocks, cache.read_blocks(blocks))
        unseen = [*range(position - window + 1), *range(position + 1, keys)]
        blocks_T, offsets_T = mla.Layout([mla.Span(0, keys, blocks)]).slots(16)
        bad = np.full((len(unseen), 48), rng.choice([np.nan, np.inf, -np.inf]), np.float32)
        other.write(0, blocks_T[unseen], offsets_T[unseen], bad[:, :32], bad[:, 32:])
        with np.errstate(invalid="ignore"):
            out = mla.forward(other, 0, q, layout, window=window, scale=SCALE)[-1]
        assert np.isfinite(want).all()
        assert np.array_equal(out, want)


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_of_nan_stays_alone(isa, kind, rng):
    cache, blocks = filled(rng, kind, 100, 16, 32, 16)
    layout = mla.Layout([mla.Span(95, 5, blocks)])
    q = normal(rng, 5, 18, 48)
    want = mla.forward(cache, 0, q, layout, scale=SCALE)
    q[2, 7, 3] = np.nan
    out = mla.forward(cache, 0, q, layout, scale=SCALE)
    assert np.isnan(out[2, 7]).all()
    out[2, 7] = want[2, 7]
    assert np.array_equal(out, want)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_merge_to_the_whole(isa, kind, rng):
    """Keys that lie on two machines; a third has none that any query sees."""
    keys, size, cut = 700, 16, 16 * int(rng.integers(1, 40))
    cache, blocks = filled(rng, kind, keys, size, 32, 16)
    q = normal(rng, 4, 16, 48)
    spans = [
        mla.Span(keys - 4, 4, blocks[: cut // size], 0, cut),
        mla.Span(keys - 4, 4, blocks[cut // size :], cut),
        mla.Span(keys - 4, 4, blocks[:1], 720, 730),
        mla.Span(keys - 4, 4, [], 0, 0),
    ]
    outs, lses = poisoned(4, 4, 16, 32), poisoned(4, 4, 16)
    for part, span in enumerate(spans):
        mla.forward(cache, 0, q, mla.Layout([span]), outs[part], lses[part], scale=SCALE)
    assert not outs[2:].any()
    assert np.isneginf(lses[2:]).all()
    out, lse = mla.merge(outs, lses)
    whole_lse = poisoned(4, 16)
    layout = mla.Layout([mla.Span(keys - 4, 4, blocks)])
    whole = mla.forward(cache, 0, q, layout, None, whole_lse, scale=SCALE)
    tolerance = 1e-5 if kind == "fp32" else 2e-2
    assert np.abs(out - whole).max() <= tolerance
    assert np.abs(lse - whole_lse).max() <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_scores_far_apart(isa, kind, rng):
    """The largest key may come first or last, others underflow; a maximum far below zero too."""
    cache, blocks = filled(rng, kind, 1100, 16, 32, 16)
    layout = mla.Layout([mla.Span(1099, 1, blocks)])
    slots = mla.Layout([mla.Span(0, 1100, blocks)]).slots(16)
    for place in (0, 255, 256, 600, 1099):
        latents, ropes = normal(rng, 1100, 32), normal(rng, 1100, 16)
        latents[:, 0], latents[place, 0] = -200, 200
        cache.write(0, *slots, latents, ropes)
        q = np.zeros((1, 3, 48), dtype=np.float32)
        q[0, 0, 0], q[0, 1, 0] = 100, -100
        lse = poisoned(1, 3)
        out = mla.forward(cache, 0, q, layout, None, lse, scale=1.0)
        held = plain(cache).rows(blocks, 0, widened=True)[:1100, :32]
        assert np.abs(out[0, 0] - held[place]).max() <= 1e-5
        others = np.delete(held, place, axis=0).mean(axis=0)
        assert np.abs(out[0, 1] - others).max() <= 1e-2 * np.abs(held).max()
        assert abs(lse[0, 0] - 100 * held[place, 0]) <= 1
        assert abs(lse[0, 2] - np.log(1100)) <= 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_have_the_same_bytes_everywhere(isa, kind, rng):
    """As the reference writes them, and as they come back; earlier layers are left alone."""
    cache = mla.LatentCache(kind, 5, 32, 3, 48, 16)
    twin = ref.Cache(kind, *cache.shape)
    blocks, offsets = rng.integers(0, 5, 40), rng.permutation(32 * 5)[:40] % 32
    slots = np.unique(np.stack([blocks, offsets]), axis=1)
    latents, ropes = normal(rng, slots.shape[1], 48), normal(rng, slots.shape[1], 16, scale=30)
    cache.write(1, slots[0], slots[1], latents, ropes)
    twin.write(1, slots[0], slots[1], np.concatenate([latents, ropes], axis=1))
    held = cache.read_blocks(np.arange(5))
    assert held.shape == (5, cache.block_bytes)
    assert np.array_equal(held, twin.data.reshape(5, -1))
    latent, rope = cache.read(1, 3)
    assert np.array_equal(np.concatenate([latent, rope], 1), twin.rows(np.array([3]), 1))
    ids = rng.permutation(5)
    cache.write_blocks(ids, held[::-1][ids])
    assert np.array_equal(cache.read_blocks(np.arange(5)), held[::-1])


@pytest.mark.parametrize("kind", KINDS)
def test_any_alignment_stride_and_protection(isa, kind, rng):
    cache, blocks = filled(rng, kind, 50, 16, 32, 16)
    layout = mla.Layout([mla.Span(47, 3, blocks)])
    q, slots = normal(rng, 3, 5, 48), layout.slots(16)
    latents, ropes = normal(rng, 3, 32), normal(rng, 3, 16)
    results = []
    for variant in (np.copy, misaligned, strided, read_only):
        cache.write(0, *map(variant, slots), variant(latents), variant(ropes))
        results.append(mla.forward(cache, 0, variant(q), layout, scale=SCALE))
    assert all(np.array_equal(results[0], result) for result in results)


def test_nothing_to_do(isa):
    cache = mla.LatentCache("bf16", 2, 16, 1, 32, 16)
    empty = np.empty((0, 4, 48), dtype=np.float32)
    for spans in ([], [mla.Span(5, 0, [0])]):
        assert mla.forward(cache, 0, empty, mla.Layout(spans), scale=1.0).shape == (0, 4, 32)


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        (("fp8", 2, 16, 1, 32, 16), "fp8"),
        (("int4", 2, 16, 1, 32, 16), "int4"),
        (("bf16", 0, 16, 1, 32, 16), "num_blocks"),
        (("bf16", 2, 24, 1, 32, 16), "block_size"),
        (("bf16", 2, 272, 1, 32, 16), "block_size"),
        (("bf16", 2, 16, 0, 32, 16), "num_layers"),
        (("bf16", 2, 16, 1, 40, 16), "latent"),
        (("bf16", 2, 16, 1, 32, 8), "rope"),
    ],
)
def test_a_cache_that_cannot_be_is_refused(isa, sizes, named):
    with pytest.raises(ValueError, match=named):
        mla.LatentCache(*sizes)


def test_what_does_not_fit_is_refused(isa, rng):
    cache, blocks = filled(rng, "bf16", 40, 16, 32, 16)
    layout = mla.Layout([mla.Span(38, 2, blocks)])
    q = normal(rng, 2, 4, 48)
    good: dict[str, Any] = {"layer": 0, "q_THD": q, "layout": layout, "scale": SCALE}
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("layer", {"layer": 1}),
        ("q_THD", {"q_THD": q[:, :, :47]}),
        ("q_THD", {"q_THD": q[:1]}),
        ("q_THD", {"q_THD": q.astype(np.float64)}),
        ("out_THL", {"out_THL": np.zeros((2, 4, 31), np.float32)}),
        ("lse_TH", {"lse_TH": np.zeros((2, 3), np.float32)}),
        ("scale", {"scale": 0.0}),
        ("scale", {"scale": np.nan}),
        ("window", {"window": -1}),
        ("block", {"layout": mla.Layout([mla.Span(38, 2, [0, 1, 99])])}),
        ("end_key", {"layout": mla.Layout([mla.Span(38, 2, blocks[:2])])}),
        ("first_key", {"layout": mla.Layout([mla.Span(38, 2, blocks, 8)])}),
        ("start", {"layout": mla.Layout([mla.Span(-1, 2, blocks)])}),
    ]
    for named, change in wrong:
        with pytest.raises(ValueError, match=named):
            mla.forward(cache, **(good | change))
    ones, rows = np.ones(1, np.int32), np.ones((1, 32), np.float32)
    for named, given in (
        ("blocks", (0, ones * 9, ones, rows, rows[:, :16])),
        ("offset", (0, ones, ones * 16, rows, rows[:, :16])),
        ("latent_TL", (0, ones, ones, rows[:, :16], rows[:, :16])),
        ("rope_TR", (0, ones, ones, rows, rows)),
        ("layer", (7, ones, ones, rows, rows[:, :16])),
    ):
        with pytest.raises(ValueError, match=named):
            cache.write(*given)
    for ids in ([-1], [5]):
        with pytest.raises(ValueError, match="ids"):
            cache.read_blocks(np.array(ids))
    with pytest.raises(ValueError, match="data"):
        cache.write_blocks(np.array([0]), np.zeros((1, 3), np.uint8))

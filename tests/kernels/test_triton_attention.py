"""Paged attention and absorbed MLA on a GPU against plain sums in float64."""

import math

import numpy as np
import pytest

from kernels.numbers import from_bf16, to_bf16
from tests.kernels.data import normal
from tests.kernels.twins import array, misaligned, quietly, strided, tensor

from kernels.attention import twin  # isort: skip  (needs triton)
from kernels.mla import twin as mla_twin  # isort: skip

pytestmark = quietly
KINDS = ("fp32", "bf16")
# Relative to the sum of magnitudes, which does not cancel. bf16: a share of the softmax is off by
# 2^-9 at most, and is rounded once more where it is merged into another tile's scale.
TOLERANCE = {"fp32": 2e-6, "bf16": 4e-3}
LSE_TOLERANCE = 1e-5  # queries and keys are the reference's, bit for bit
SPLITS = (None, 1, 3)


def attended(q_C, keys_TC, values_TV, scale):
    """One head in float64: output, log-sum-exp and what the output's magnitudes sum to.

    Nothing to see gives zeros and -inf.
    """
    if not len(keys_TC):
        none = np.zeros(values_TV.shape[1])
        return none, -math.inf, none
    scores = keys_TC.astype(np.float64) @ q_C.astype(np.float64) * scale
    shares = np.exp(scores - scores.max())
    total = shares.sum()
    values = values_TV.astype(np.float64)
    return shares @ values / total, scores.max() + math.log(total), shares @ np.abs(values) / total


def of_heads(found):
    """[S][H] of what `attended` says, as one array of each."""
    return tuple(np.array([[head[i] for head in heads] for heads in found]) for i in range(3))


def rounded(x, kind):
    return from_bf16(to_bf16(x)) if kind == "bf16" else x


class Paged:
    """Contexts in blocks that lie anywhere; all other cells hold NaN."""

    def __init__(self, rng, kind, lengths, block_size, row_shape):
        self.kind, self.block_size = kind, block_size
        self.lengths = np.array(lengths, dtype=rng.choice([np.int32, np.int64]))
        used = [-(-length // block_size) for length in lengths]
        self.ids = rng.permutation(sum(used) + 3)
        self.blocks_SB = np.full((len(lengths), max(used) + 1), 2**30, dtype=np.int32)
        self.contexts = []
        at = 0
        for s, (length, count) in enumerate(zip(lengths, used, strict=True)):
            self.blocks_SB[s, :count] = self.ids[at : at + count]
            at += count
            self.contexts.append(rounded(normal(rng, length, *row_shape), kind))

    def cache(self, contexts):
        """[num_blocks, block_size, *row]."""
        shape = (len(self.ids), self.block_size, *contexts[0].shape[1:])
        cells = np.full(shape, np.nan, dtype=np.float32)
        for context, blocks in zip(contexts, self.blocks_SB, strict=True):
            for t, row in enumerate(context):
                cells[blocks[t // self.block_size], t % self.block_size] = row
        return cells


class Attention(Paged):
    def __init__(self, rng, kind, lengths, heads=8, kv_heads=2, width=32, block_size=16):
        super().__init__(rng, kind, lengths, block_size, (2, kv_heads, width))
        self.q = rounded(normal(rng, len(lengths), heads, width), kind)
        self.scale = width**-0.5
        self.group = heads // kv_heads

    def caches(self):
        whole = self.cache(self.contexts)
        parts = (np.moveaxis(whole[:, :, i], 2, 1) for i in range(2))
        return [tensor(np.ascontiguousarray(part), self.kind) for part in parts]

    def decode(self, variant=lambda t: t, **options):
        given = [variant(tensor(a)) for a in (self.blocks_SB, self.lengths)]
        out, lse = twin.decode(variant(tensor(self.q)), *self.caches(), *given, **options)
        return array(out), array(lse)

    def want(self, window=None):
        found = []
        for q, context in zip(self.q, self.contexts, strict=True):
            seen = context if window is None else context[-window:]
            found.append(
                [
                    attended(
                        q[h], seen[:, 0, h // self.group], seen[:, 1, h // self.group], self.scale
                    )
                    for h in range(len(q))
                ]
            )
        return of_heads(found)

    def check(self, window=None, **options):
        compare(self.kind, self.decode(window=window, **options), self.want(window))


def compare(kind, got, want):
    assert got[0].shape == want[0].shape and np.isfinite(got[0]).all()
    assert np.linalg.norm(got[0] - want[0]) <= TOLERANCE[kind] * np.linalg.norm(want[2])
    empty = np.isneginf(want[1])
    assert np.array_equal(np.isneginf(got[1]), empty)
    size = 1 + np.abs(want[1][~empty])
    assert (np.abs(got[1] - want[1])[~empty] <= LSE_TOLERANCE * size).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes",
    [
        {"heads": 1, "kv_heads": 1, "width": 1, "block_size": 1},  # MHA
        {"heads": 5, "kv_heads": 5, "width": 48, "block_size": 8},
        {"heads": 8, "kv_heads": 2, "width": 32, "block_size": 16},  # GQA
        {"heads": 34, "kv_heads": 2, "width": 20, "block_size": 7},
        {"heads": 7, "kv_heads": 1, "width": 128, "block_size": 64},  # MQA
    ],
)
def test_attention_is_the_plain_sum(kind, sizes, rng):
    case = Attention(rng, kind, rng.integers(0, 150, 2).tolist(), **sizes)
    case.check(splits=SPLITS[rng.integers(3)])


@pytest.mark.parametrize("window", [1, 2, 16, 33, 1000])
def test_a_window_hides_what_is_older(window, rng):
    Attention(rng, "fp32", (1, 70, 33)).check(window, splits=int(rng.integers(1, 4)))


@pytest.mark.parametrize("kind", KINDS)
def test_empty_contexts_and_empty_parts(kind, rng):
    """One token in six parts: five hold nothing. No token at all: all do."""
    Attention(rng, kind, (0, 1, 65, 64)).check(splits=6)
    Attention(rng, kind, (0, 0)).check()


def test_what_is_hidden_may_be_nan(rng):
    """Cells before the window: a block of them was given to nobody, or was never written."""
    case = Attention(rng, "fp32", (90,), block_size=4)
    want = case.want(window=30)
    case.contexts[0][:60] = np.nan
    compare("fp32", case.decode(window=30, splits=2), want)


def test_extreme_scores(rng):
    """Scores of -1e30 in whole tiles must neither win nor become NaN."""
    case = Attention(rng, "fp32", (130, 200), heads=4, kv_heads=1, width=16)
    for context, q in zip(case.contexts, case.q, strict=True):
        context[:128, 0] = -1e30 * np.sign(q[::4].sum(axis=1) + 1e-3)[None, :, None]
        q[...] = np.abs(q) * np.sign(q[::4].sum(axis=1) + 1e-3).repeat(4)[:, None]
    for splits in (1, 3):
        case.check(splits=splits)


def test_any_alignment_and_stride(rng):
    case = Attention(rng, "bf16", (40, 3))
    want = case.decode()
    for variant in (misaligned, strided):
        got = case.decode(variant)
        assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


def test_parts_merge_over_machines(rng):
    """Two partial attentions with their log-sum-exp are one of both contexts."""
    case = Attention(rng, "fp32", (75,))
    whole = case.want()
    context = case.contexts[0]
    halves = []
    for part in (context[:31], context[31:]):
        half = Attention(rng, "fp32", (len(part),))
        half.q, half.contexts = case.q, [part]
        halves.append(half.decode())
    lse = np.logaddexp(halves[0][1], halves[1][1])
    out = sum(o * np.exp(part - lse)[..., None] for o, part in halves)
    compare("fp32", (out, lse), whole)


class Latent(Paged):
    def __init__(self, rng, kind, lengths, heads=3, latent=40, rope=8, block_size=16):
        super().__init__(rng, kind, lengths, block_size, (latent + rope,))
        self.q = rounded(normal(rng, len(lengths), heads, latent + rope), kind)
        self.latent, self.scale = latent, (latent + rope) ** -0.5

    def decode(self, variant=lambda t: t, **options):
        given = [variant(tensor(a)) for a in (self.blocks_SB, self.lengths)]
        q, cache = variant(tensor(self.q)), tensor(self.cache(self.contexts), self.kind)
        options |= {"latent": self.latent, "scale": self.scale}
        return [array(t) for t in mla_twin.decode(q, cache, *given, **options)]

    def check(self, **options):
        found = [
            [attended(q, rows, rows[:, : self.latent], self.scale) for q in heads]
            for heads, rows in zip(self.q, self.contexts, strict=True)
        ]
        compare(self.kind, self.decode(**options), of_heads(found))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes",
    [
        {"heads": 1, "latent": 1, "rope": 1, "block_size": 1},
        {"heads": 3, "latent": 40, "rope": 8},
        {"heads": 16, "latent": 64, "rope": 16, "block_size": 7},
        {"heads": 70, "latent": 16, "rope": 16, "block_size": 64},
    ],
)
def test_latent_attention_is_the_plain_sum(kind, sizes, rng):
    case = Latent(rng, kind, rng.integers(0, 150, 2).tolist(), **sizes)
    case.check(splits=SPLITS[rng.integers(3)])


def test_deepseeks_sizes(rng):
    Latent(rng, "bf16", (70, 0), heads=20, latent=512, rope=64, block_size=64).check(splits=2)


@pytest.mark.parametrize("kind", KINDS)
def test_latent_empty_contexts_and_parts(kind, rng):
    Latent(rng, kind, (0, 1, 33, 32)).check(splits=6)


def test_latent_alignment_and_stride(rng):
    case = Latent(rng, "fp32", (40, 3))
    want = case.decode()
    for variant in (misaligned, strided):
        assert all(np.array_equal(*both) for both in zip(case.decode(variant), want, strict=True))


def test_what_does_not_fit_is_refused(rng):
    case = Attention(rng, "fp32", (20, 5))
    keys, values = case.caches()
    q, blocks, lengths = tensor(case.q), tensor(case.blocks_SB), tensor(case.lengths)
    for name, wrong in (
        ("keys", (q, keys[0], values, blocks, lengths)),
        ("values", (q, keys, values[:, :1], blocks, lengths)),
        ("q_SHC", (q[..., 1:], keys, values, blocks, lengths)),
        ("query heads", (q[:, 1:], keys, values, blocks, lengths)),
        ("blocks_SB", (q, keys, values, blocks[1:], lengths)),
        ("lengths_S", (q, keys, values, blocks, lengths.float())),
        ("keys has strides", (q, strided(keys), strided(values), blocks, lengths)),
    ):
        with pytest.raises(ValueError, match=name):
            twin.decode(*wrong)
    with pytest.raises(ValueError, match="window is 0"):
        twin.decode(q, keys, values, blocks, lengths, window=0)
    latent = Latent(rng, "fp32", (20, 5))
    q, cache = tensor(latent.q), tensor(latent.cache(latent.contexts))
    with pytest.raises(ValueError, match="latent is 48"):
        mla_twin.decode(q, cache, blocks, lengths, latent=48, scale=1.0)
    with pytest.raises(ValueError, match="splits is 0"):
        mla_twin.decode(q, cache, blocks, lengths, latent=40, scale=1.0, splits=0)

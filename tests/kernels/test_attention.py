"""Paged attention against the reference, on every instruction set."""

import itertools

import numpy as np
import pytest

from kernels import attention, native
from kernels.attention import KvCache, Layout, Span, ref
from tests.kernels.data import misaligned, normal, poisoned, read_only, strided

KINDS = ("fp32", "bf16", "int8")
# Relative: fp32 rounds each step; bf16 rounds weights to 8 bits, int8 to 255 steps of the largest
# of a chunk.
TOLERANCE = {"fp32": 2e-6, "bf16": 3e-3, "int8": 8e-3}


class Case:
    """A cache full of garbage, in which some sequences' keys and values are written."""

    def __init__(self, rng, kind, lengths, heads=4, kv_heads=2, dim=32, block_size=16):
        self.rng, self.kind, self.lengths, self.heads = rng, kind, lengths, heads
        needed = [-(-n // block_size) for n in lengths]
        shape = (sum(needed) + 3, block_size, 2, kv_heads, dim)
        self.cache, self.plain = KvCache(kind, *shape), ref.Cache(kind, *shape)
        fill(self.cache, 0xFF)  # NaN in every format
        ids = rng.permutation(shape[0])
        self.tables = [ids[sum(needed[:s]) :][:n] for s, n in enumerate(needed)]
        self.keys = [normal(rng, n, kv_heads, dim) for n in lengths]
        self.values = [normal(rng, n, kv_heads, dim) for n in lengths]
        self.queries = [normal(rng, n, heads, dim) for n in lengths]
        for s, n in enumerate(lengths):
            slots = Layout([Span(0, n, self.tables[s])]).slots(block_size)
            for cache in (self.cache, self.plain):
                cache.write(1, *slots, self.keys[s], self.values[s])

    def step(self, parts):
        """Layout and queries of some (sequence, start, count)."""
        layout = Layout([Span(start, count, self.tables[s]) for s, start, count in parts])
        rows = [self.queries[s][start : start + count] for s, start, count in parts]
        return layout, np.concatenate([*rows, self.queries[0][:0]])

    def forward(self, parts, **options):
        layout, q = self.step(parts)
        lse = poisoned(len(q), self.heads)
        out = attention.forward(self.cache, 1, q, layout, poisoned(*q.shape), lse, **options)
        return out, lse

    def want(self, parts, window=0, scale=None):
        layout, q = self.step(parts)
        out, lse = poisoned(*q.shape), poisoned(len(q), self.heads)
        scale = self.cache.head_dim**-0.5 if scale is None else scale
        ref.forward(self.plain, 1, q, layout, window, scale, out, lse)
        return out, lse

    def check(self, parts, tolerance=1.0, **options):
        got, want = self.forward(parts, **options), self.want(parts, **options)
        for out, right in zip(got, want, strict=True):
            assert np.isfinite(out).all()
            size = np.linalg.norm(right) + len(right) ** 0.5  # log-sum-exps may be near zero
            assert np.linalg.norm(out - right) <= tolerance * TOLERANCE[self.kind] * size


def fill(cache, byte):
    data = np.full((cache.num_blocks, cache.block_bytes), byte, dtype=np.uint8)
    cache.write_blocks(np.arange(cache.num_blocks), data)


def chunks(rng, s, length):
    """A sequence's tokens cut at random places."""
    cuts = np.unique([0, length, *rng.integers(0, length, 4)])
    return [(s, int(a), int(b - a)) for a, b in itertools.pairwise(cuts)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes",
    [
        {"heads": 1, "kv_heads": 1, "dim": 16, "block_size": 16},
        {"heads": 3, "kv_heads": 3, "dim": 80, "block_size": 48},
        {"heads": 8, "kv_heads": 2, "dim": 64, "block_size": 32},
        {"heads": 13, "kv_heads": 1, "dim": 128, "block_size": 256},
        {"heads": 10, "kv_heads": 2, "dim": 256, "block_size": 16},
    ],
)
def test_agrees_with_the_reference(isa, kind, sizes, rng):
    case = Case(rng, kind, [1, 70, 37, 131], **sizes)
    case.check([(0, 0, 1), (1, 0, 70), (2, 36, 1), (3, 100, 31)])


@pytest.mark.parametrize("kind", KINDS)
def test_long_contexts(isa, kind, rng):
    """Several spans, a short prefill and decode beside each other."""
    case = Case(rng, kind, [1300, 600, 513, 512])
    case.check([(0, 1299, 1), (1, 560, 40), (2, 512, 1), (3, 511, 1)])


@pytest.mark.parametrize("window", [1, 15, 64, 130, 5000])
def test_windows(isa, window, rng):
    case = Case(rng, "bf16", [900, 200])
    case.check([(0, 899, 1), (1, 100, 100)], window=window)


def test_groups_larger_than_a_tile(isa, rng):
    """More query heads a KV head than an item holds."""
    case = Case(rng, "fp32", [600, 9], heads=71, kv_heads=1, dim=16)
    case.check([(0, 599, 1), (1, 0, 9)])


def test_scale(isa, rng):
    """Scores far apart: nearly all of the weight on one key.

    A score's relative error becomes a weight's through exp: it grows with the scores, which are
    scale * sqrt(head_dim) times the usual.
    """
    case = Case(rng, "fp32", [90])
    scale = 20.0
    case.check([(0, 80, 10)], tolerance=scale * case.cache.head_dim**0.5, scale=scale)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [0, 100])
def test_a_row_has_the_same_bits_in_every_batch_and_chunk(isa, kind, window, rng):
    case = Case(rng, kind, [700, 90])
    whole = [case.forward([(s, 0, n)], window=window) for s, n in enumerate(case.lengths)]
    parts = [p for s, n in enumerate(case.lengths) for p in chunks(rng, s, n)]
    parts = [(*parts[i],) for i in rng.permutation(len(parts))]
    decode = [(0, 699, 1), (1, int(rng.integers(90)), 1), (0, int(rng.integers(700)), 1)]
    for step in (parts, decode, *[[part] for part in parts[:2]]):
        out, lse = case.forward(step, window=window)
        want = [
            np.concatenate([whole[s][i][start : start + count] for s, start, count in step])
            for i in range(2)
        ]
        assert np.array_equal(out, want[0]) and np.array_equal(lse, want[1])


@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_neither_on_threads_nor_on_blocks(native_isa, kind, rng):
    case = Case(rng, kind, [1100], block_size=16)
    decode = [(0, 1099, 1), (0, 1000, 60)]
    before = native.lib.num_threads()
    native.set_num_threads(1)
    want = case.forward(decode)
    native.set_num_threads(3)
    got = case.forward(decode)
    native.set_num_threads(before)
    assert np.array_equal(got[0], want[0]) and np.array_equal(got[1], want[1])
    other = KvCache(kind, 9, 128, 2, 2, 32)
    fill(other, 0xFF)
    case.tables, case.cache = [np.arange(9)[::-1]], other
    slots = Layout([Span(0, 1100, case.tables[0])]).slots(128)
    other.write(1, *slots, case.keys[0], case.values[0])
    got = case.forward(decode)
    assert np.array_equal(got[0], want[0]) and np.array_equal(got[1], want[1])


def test_fp32_has_the_same_bits_on_avx2_and_avx512(rng):
    if not {"avx2", "avx512"} <= set(native.isas()):
        pytest.skip("this machine lacks one of them")
    case, outs, before = Case(rng, "fp32", [700]), [], native.lib.isa()
    for isa in ("avx2", "avx512"):
        native.force(isa)
        outs.append(case.forward([(0, 699, 1), (0, 0, 50)]))
    native.force(before)
    assert np.array_equal(outs[0][0], outs[1][0]) and np.array_equal(outs[0][1], outs[1][1])


@pytest.mark.parametrize("kind", KINDS)
def test_partial_results_merge(isa, kind, rng):
    """Keys in three places: two ranges of blocks, and one that a query sees nothing of."""
    case = Case(rng, kind, [700], block_size=16)
    table, (start, count) = case.tables[0], (650, 20)
    spans = [
        Span(start, count, table[:20], end_key=320),
        Span(start, count, table[20:], first_key=320, end_key=700),
        Span(start, count, table[:0], first_key=0, end_key=0),
        Span(start, count, table[42:], first_key=672, end_key=700),  # after every query
    ]
    q = case.queries[0][start : start + count]
    outs, lses = poisoned(4, *q.shape), poisoned(4, count, case.heads)
    for i, span in enumerate(spans):
        attention.forward(case.cache, 1, q, Layout([span]), outs[i], lses[i])
    assert np.isneginf(lses[2:]).all() and not outs[2:].any()
    out, lse = attention.merge(outs, lses)
    assert out.dtype == lse.dtype == np.float64
    want = case.forward([(0, start, count)])
    assert np.linalg.norm(out - want[0]) <= TOLERANCE[kind] * np.linalg.norm(want[0])
    assert np.abs(lse - want[1]).max() <= 1e-4
    outs[2:] = np.nan  # without weight
    assert np.array_equal(attention.merge(outs, lses)[0], out)
    out, lse = attention.merge(outs[2:], lses[2:])
    assert not out.any() and np.isneginf(lse).all()


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_travel(isa, kind, rng):
    """A block's bytes mean the same in another cache, whatever wrote them."""
    case = Case(rng, kind, [200], block_size=48)
    want = case.forward([(0, 150, 50)])
    data = case.cache.read_blocks(case.tables[0])
    assert data.shape == (5, case.cache.block_bytes) and data.dtype == np.uint8
    other = KvCache(kind, 9, 48, 2, 2, 32)
    fill(other, 0xFF)
    ids = rng.permutation(9)[:5]
    other.write_blocks(ids, read_only(data))
    assert np.array_equal(other.read_blocks(ids), data)
    case.cache, case.tables = other, [ids]
    assert np.array_equal(case.forward([(0, 150, 50)])[0], want[0])
    other.write_blocks(ids, strided(data))
    assert np.array_equal(other.read_blocks(ids), data)


@pytest.mark.parametrize("kind", KINDS)
def test_written_bytes_are_those_of_the_reference(native_isa, kind, rng):
    case = Case(rng, kind, [100], block_size=32, dim=48)
    whole = case.tables[0][:3]
    assert np.array_equal(
        case.cache.read_blocks(whole)[:, case.cache.block_bytes // 2 :],
        case.plain.data[whole].reshape(3, -1)[:, case.cache.block_bytes // 2 :],
    )
    for got, want in zip(
        case.cache.read(1, whole[0]),
        case.plain.keys_and_values(whole[:1], 1),
        strict=True,
    ):
        assert np.array_equal(got, want)
    step = {"fp32": 0, "bf16": 2.0**-8, "int8": 0.5 / 127}[kind]
    got = case.cache.read(1, whole[0])[1]
    assert (np.abs(got - case.values[0][:32]) <= step * np.abs(case.values[0]).max()).all()


@pytest.mark.parametrize("shape", [misaligned, strided, read_only])
def test_inputs_of_any_layout(isa, shape, rng):
    case = Case(rng, "bf16", [60])
    want = case.forward([(0, 40, 20)])[0]
    layout, q = case.step([(0, 40, 20)])
    fill(case.cache, 0xFF)
    slots = Layout([Span(0, 60, case.tables[0])]).slots(16)
    k, v = shape(case.keys[0]), shape(case.values[0])
    case.cache.write(1, *(shape(x) for x in slots), k, v)  # type: ignore[call-arg]
    assert np.array_equal(attention.forward(case.cache, 1, shape(q), layout), want)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [0, 20, 100])
def test_what_a_row_does_not_see_does_not_reach_it(isa, kind, window, rng):
    """NaN or infinity in one token's values: in decode, and in the middle of a prefill."""
    case = Case(rng, kind, [700])
    want = case.forward([(0, 0, 700)], window=window)[0]
    bad = int(rng.integers(600, 690))
    slot = [x[bad : bad + 1] for x in Layout([Span(0, 700, case.tables[0])]).slots(16)]
    values = np.full((1, 2, 32), rng.choice([np.nan, np.inf]), dtype=np.float32)
    keys = case.keys[0][bad : bad + 1] if rng.random() < 0.5 else values
    with np.errstate(invalid="ignore", over="ignore"):
        for cache in (case.cache, case.plain):
            cache.write(1, slot[0], slot[1], keys, values)
    for start, count in ((0, 700), (bad - 50, 60), (bad - 3, 9), (bad - 1, 1), (bad, 1), (bad, 10)):
        with np.errstate(invalid="ignore"):
            out = case.forward([(0, start, count)], window=window)[0]
        positions = np.arange(start, start + count)
        sees = (positions >= bad) & ((positions - bad < window) | (window == 0))
        assert np.array_equal(out[~sees], want[start : start + count][~sees])
        assert not np.isfinite(out[sees]).any()


@pytest.mark.parametrize(("window", "first"), [(40, 16), (20, 17), (1, 18)])
def test_blocks_that_no_query_sees_may_be_missing(isa, window, first, rng):
    """Those before the window, and those after the last query."""
    case, nowhere = Case(rng, "bf16", [300]), -(2**30)
    want = case.forward([(0, 299, 1)], window=window)[0]
    early, table = case.forward([(0, 100, 1)])[0], case.tables[0]
    case.tables[0] = np.where(np.arange(19) < first, nowhere, table)
    assert np.array_equal(case.forward([(0, 299, 1)], window=window)[0], want)
    with pytest.raises(ValueError, match="a block is -1073741824"):
        case.forward([(0, 299, 1)])
    layout = Layout([Span(100, 1, np.where(np.arange(19) < 7, table, nowhere), end_key=300)])
    q = case.queries[0][100:101]
    assert np.array_equal(attention.forward(case.cache, 1, q, layout), early)


def test_nothing_to_do(isa, rng):
    case = Case(rng, "bf16", [10])
    assert case.forward([])[0].shape == (0, 4, 32)
    assert case.forward([(0, 5, 0)])[0].shape == (0, 4, 32)
    assert case.cache.read_blocks(np.array([], dtype=int)).shape == (0, case.cache.block_bytes)
    case.cache.write_blocks(np.arange(0), np.empty((0, case.cache.block_bytes), dtype=np.uint8))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"kind": "int4"}, "int4"),
        ({"num_blocks": 0}, "num_blocks"),
        ({"block_size": 24}, "block_size is 24"),
        ({"block_size": 272}, "block_size is 272"),
        ({"head_dim": 40}, "head_dim is 40"),
        ({"head_dim": 272}, "head_dim is 272"),
        ({"num_kv_heads": -1}, "num_kv_heads"),
    ],
)
def test_refuses_a_cache_that_cannot_be(isa, change, name):
    shape = {
        "kind": "bf16", "num_blocks": 4, "block_size": 16, "num_layers": 1, "num_kv_heads": 1,
        "head_dim": 32,
    }  # fmt: skip
    with pytest.raises(ValueError, match=name):
        KvCache(**(shape | change))


@pytest.mark.parametrize(
    ("span", "name"),
    [
        (Span(-1, 1, [0]), "start is -1"),
        (Span(0, -1, [0]), "count is -1"),
        (Span(20, 1, [0]), "end_key is 21"),
        (Span(20, 1, [0], first_key=8), "first_key is 8"),
        (Span(3, 1, [4]), "a block is 4"),
        (Span(3, 1, [0], end_key=-1), "end_key is -1"),
    ],
)
def test_refuses_a_sequence_that_cannot_be(isa, span, name):
    cache = KvCache("bf16", 4, 16, 1, 1, 32)
    q = np.zeros((max(0, span.count), 2, 32), dtype=np.float32)
    with pytest.raises(ValueError, match=name):
        attention.forward(cache, 0, q, Layout([span]))


def test_refuses_what_does_not_fit(isa, rng):
    case = Case(rng, "bf16", [20])
    layout, q = case.step([(0, 10, 10)])
    rows = np.zeros(1, dtype=np.int32)
    k = case.keys[0][:1]

    def run(q=q, out=None, lse=None, layer=0, **options):
        return lambda: attention.forward(case.cache, layer, q, layout, out, lse, **options)

    for call, name in (
        (run(layer=2), "layer"),
        (run(q=q[:, :3]), "num_heads is 3"),
        (run(q=q[:5]), "q_TND"),
        (run(q=q.astype(np.float64)), "q_TND"),
        (run(q=q[0]), "q_TND"),
        (run(out=np.empty((10, 4, 16), dtype=np.float32)), "out_TND"),
        (run(lse=np.empty((10, 3), dtype=np.float32)), "lse_TN"),
        (run(window=-1), "window is -1"),
        (run(scale=0.0), "scale is 0"),
        (run(scale=float("nan")), "scale is nan"),
        (lambda: case.cache.write(0, rows + 99, rows, k, k), "block 99"),
        (lambda: case.cache.write(0, rows, rows + 16, k, k), "offset 16"),
        (lambda: case.cache.write(0, rows, rows, k[:, :1], k), "k_TND|k_THD"),
        (lambda: case.cache.write(5, rows, rows, k, k), "layer is 5"),
        (lambda: case.cache.read_blocks(np.array([-1])), "ids"),
        (lambda: case.cache.write_blocks(rows, np.zeros((1, 3), dtype=np.uint8)), "data"),
        (lambda: case.cache.read(0, 99), "99"),
        (lambda: layout.slots(8), "new tokens"),
        (lambda: attention.merge(q[None], q), "outs_PTND"),
        (lambda: Layout([Span(0, 1, np.array([1, 2**32]))]), "blocks hold 4294967296"),
        (lambda: Layout([Span(0, 1, [-(2**31) - 1])]), "blocks hold -2147483649"),
    ):
        with pytest.raises(ValueError, match=name):
            call()

"""Exact top-k against sorting all scores, on every instruction set."""

import numpy as np
import pytest

from kernels import native, scan
from kernels.numbers import matrix
from tests.kernels.data import misaligned, normal, product_bound, read_only, strided

VECTOR_KINDS = ("fp32", "bf16", "int8")


def make(vectors, kind):
    shard = scan.Shard(kind, *vectors.shape)
    shard.set(0, vectors)
    return shard, scan.ref.Shard(kind, len(vectors), [(0, matrix(vectors, kind, "vectors_ND"))])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (31, 7, 2, 40), (1003, 100, 14, 10)])
def test_int8_is_exact(isa, shape, rng):
    """Whole numbers: ids, order and scores are those of the reference, ties by lowest id."""
    num, dim, count, k = shape
    shard, plain = make(normal(rng, num, dim), "int8")
    queries = normal(rng, count, dim)
    ids, scores = scan.top_k(shard, queries, k)
    want_ids, want_scores = scan.ref.top_k(plain, queries, k)
    np.testing.assert_allclose(scores, want_scores, rtol=1e-6)
    # Roundings of the two scales may swap what is equal to 24 bits: then the scores are.
    differ = ids != want_ids
    assert np.allclose(scores[differ], want_scores[differ], rtol=1e-6)
    assert differ.mean() < 0.05


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_floats_find_the_best_within_rounding(isa, kind, rng):
    vectors, queries = normal(rng, 700, 90), normal(rng, 5, 90)
    shard, plain = make(vectors, kind)
    ids, scores = scan.top_k(shard, queries, 20)
    exact = scan.ref.scores(plain, queries)
    bound = product_bound(queries, plain.parts[0][1])
    assert (np.abs(scores - np.take_along_axis(exact, ids, 1)) <= bound.max()).all()
    worst = scores[:, -1:]
    for row in range(5):
        left_out = np.setdiff1d(np.arange(700), ids[row])
        assert (exact[row, left_out] <= worst[row] + 2 * bound.max()).all()
        assert len(np.unique(ids[row])) == 20
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("kind", VECTOR_KINDS)
def test_equal_scores_go_by_lowest_id(isa, kind):
    vectors = np.ones((300, 16), dtype=np.float32)
    shard, _ = make(vectors, kind)
    ids, scores = scan.top_k(shard, np.ones((1, 16), dtype=np.float32), 7)
    assert ids.tolist() == [list(range(7))]
    assert np.allclose(scores, 16)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_equal_scores_go_by_lowest_id_on_several_threads(isa, threads):
    """Large enough for the pool: items see each other's bounds in any order."""
    before = native.lib.num_threads() if native.lib else 1
    vectors = np.tile(np.arange(5, dtype=np.float32)[:, None], (5000, 32))
    shard, _ = make(vectors, "bf16")
    native.set_num_threads(threads)
    ids, _ = scan.top_k(shard, np.ones((2, 32), dtype=np.float32), 50)
    native.set_num_threads(before)
    assert ids.tolist() == [list(range(4, 250, 5))] * 2


@pytest.mark.parametrize("kind", VECTOR_KINDS)
def test_fewer_vectors_than_asked_for(isa, kind, rng):
    shard, _ = make(normal(rng, 3, 10), kind)
    ids, scores = scan.top_k(shard, normal(rng, 1, 10), 5)
    assert sorted(ids[0, :3].tolist()) == [0, 1, 2]
    assert ids[0, 3:].tolist() == [-1, -1]
    assert np.isneginf(scores[0, 3:]).all()


def test_nan_is_never_found(isa, rng):
    vectors = normal(rng, 100, 10)
    vectors[7], vectors[50] = np.nan, -np.inf
    shard, _ = make(vectors, "bf16")
    ids, scores = scan.top_k(shard, np.abs(normal(rng, 1, 10)), 100)
    assert 7 not in ids and 50 not in ids
    assert ids[0, 98:].tolist() == [-1, -1]
    assert not np.isnan(scores).any()


def test_parts_are_set_one_after_another(isa, rng):
    vectors, queries = normal(rng, 150, 20), normal(rng, 2, 20)
    whole, _ = make(vectors, "int8")
    parts = scan.Shard("int8", 150, 20)
    parts.set(64, vectors[64:])
    parts.set(0, vectors[:64])
    for at in range(2):
        got, want = scan.top_k(parts, queries, 150)[at], scan.top_k(whole, queries, 150)[at]
        assert np.array_equal(got, want)
    for first, count in ((3, 32), (0, 33), (128, 23)):
        with pytest.raises(ValueError, match="multiples of 32"):
            parts.set(first, np.zeros((count, 20), np.float32))


def test_any_alignment_stride_and_protection(isa, rng):
    vectors, queries = normal(rng, 60, 20), normal(rng, 3, 20)
    want = scan.top_k(make(vectors, "bf16")[0], queries, 9)
    for variant in (misaligned, strided, read_only):
        got = scan.top_k(make(variant(vectors), "bf16")[0], variant(queries), 9)
        assert np.array_equal(got[0], want[0])
        assert np.array_equal(got[1], want[1])


def test_what_does_not_fit_is_refused(isa, rng):
    shard, _ = make(normal(rng, 10, 4), "int8")
    with pytest.raises(ValueError, match="queries_QD"):
        scan.top_k(shard, normal(rng, 1, 5), 2)
    with pytest.raises(ValueError, match="k is 0"):
        scan.top_k(shard, normal(rng, 1, 4), 0)
    with pytest.raises(ValueError, match="int4"):
        scan.Shard("int4", 3, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        scan.Shard("int8", 0, 4)

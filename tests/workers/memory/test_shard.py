"""Search is exact, in one order only, whatever was added and removed before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.hardware.work import Work
from workers.memory import part
from workers.memory.hit import Hit
from workers.memory.id_ranges import IdRanges
from workers.memory.index.exact import QUERIES_PER_CALL
from workers.memory.shard import RetrievalShard

DIM = 4


def vectors_of(rows: list[list[int]]) -> np.ndarray:
    """Small integers: exact in float32, and full of ties."""
    return np.asarray(rows, np.float32).reshape(-1, DIM)


ROW = st.lists(st.integers(-2, 2), min_size=DIM, max_size=DIM)
PASSAGES = st.lists(st.tuples(st.integers(0, 60), ROW), max_size=40, unique_by=lambda p: p[0])


def filled(passages: list[tuple[int, list[int]]], num_files: int = 3) -> RetrievalShard:
    shard = RetrievalShard(DIM)
    ids = [i for i, _ in passages]
    shard.add(
        ids,
        vectors_of([row for _, row in passages]),
        [f"text {i}" for i in ids],
        [f"file {i % num_files}" for i in ids],
    )
    return shard


def naive(passages: list[tuple[int, list[int]]], query: list[int], top_k: int) -> list[Hit]:
    scored = [
        Hit(i, float(np.dot(row, query)), f"text {i}", f"file {i % 3}") for i, row in passages
    ]
    return sorted(scored, key=lambda hit: (-hit.score, hit.passage_id))[:top_k]


@given(PASSAGES, st.lists(ROW, max_size=20), st.integers(1, 50))
def test_search_equals_a_sort_of_all_scores(passages, queries, top_k):
    found = filled(passages).search(vectors_of(queries), top_k)
    assert found == [naive(passages, query, top_k) for query in queries]


@pytest.mark.parametrize("top_k", [1, 2, 5, 20])
def test_ties_at_the_edge_go_to_the_lowest_ids_wherever_they_stand(top_k):
    """Ids in random order and few distinct scores, so that nearly every edge has a tie."""
    rng = np.random.default_rng(top_k)
    for count in range(1, 60):
        rows = rng.integers(-1, 2, (count, DIM)).tolist()
        passages = list(zip(rng.permutation(count).tolist(), rows, strict=True))
        found = filled(passages).search(np.ones((1, DIM), np.float32), top_k)
        assert found == [naive(passages, [1] * DIM, top_k)]


@given(PASSAGES, ROW, st.integers(0, 60), st.integers(0, 60), st.integers(0, 9))
def test_what_is_searched_among_is_found_as_if_nothing_else_were_there(
    passages, query, first, count, more
):
    """Two ranges that may overlap, and what was taken back is in neither."""
    shard = filled(passages)
    shard.take_back(range(10, 13))
    ranges = [range(first, first + count), range(more, more + 4)]
    wanted = [p for p in passages if any(p[0] in r for r in ranges) and p[0] not in range(10, 13)]
    among = IdRanges(ranges)
    assert shard.search(vectors_of([query]), 5, among) == [naive(wanted, query, 5)]
    reads = shard.scan_work(1, "hbf", among)
    assert reads == Work.of(
        "search", flops={"fp32": 2 * len(wanted) * DIM}, reads={"hbf": len(wanted) * DIM * 4}
    )
    assert shard.texts_of(ranges[0]) == sorted(
        (i, f"text {i}") for i, _ in passages if i in ranges[0] and i not in range(10, 13)
    )


def test_parts_are_one_shard(monkeypatch):
    """Of 4 rows each; 3 of 4 that go make a part anew, and an empty one is let go of."""
    monkeypatch.setattr(part, "ROWS_MAX", 4)
    passages = [(i, [i % 3, 1, -i, 2]) for i in range(30)]
    shard, query = filled(passages), [1, 2, 3, 4]
    assert len(shard._parts) == 8
    assert shard.search(vectors_of([query]), 9) == [naive(passages, query, 9)]
    shard.take_back(range(4, 11))
    kept = [p for p in passages if p[0] not in range(4, 11)]
    assert [p.num_alive for p in shard._parts] == [4, 1, 4, 4, 4, 4, 2]
    assert [p.room for p in shard._parts] == [0, 3, 0, 0, 0, 0, 2]
    assert shard.search(vectors_of([query]), 30) == [naive(kept, query, 30)]
    assert shard.bytes_held() == filled(kept).bytes_held()
    assert shard.texts == tuple(f"text {i}" for i, _ in kept)
    assert np.array_equal(shard.vectors(), vectors_of([row for _, row in kept]))


def test_a_score_depends_on_the_pair_alone():
    """BLAS would round by batch and by number of vectors; then shards would disagree."""
    rng = np.random.default_rng(7)
    held = rng.standard_normal((300, 512)).astype(np.float32)
    queries = rng.standard_normal((3 * QUERIES_PER_CALL, 512)).astype(np.float32)
    whole = RetrievalShard(512)
    whole.add(range(300), held, ["" for _ in held])
    together = [{h.passage_id: h.score for h in hits} for hits in whole.search(queries, 300)]
    for first, last in ((0, 1), (1, 8), (37, 254)):
        part = RetrievalShard(512)
        part.add(range(first, last), held[first:last], [""] * (last - first))
        for query, scores in zip(queries, together, strict=True):
            for hit in part.search(query[None], 300)[0]:
                assert hit.score == scores[hit.passage_id]


def test_an_empty_shard_finds_nothing():
    assert RetrievalShard(DIM).search(np.zeros((2, DIM), np.float32), 3) == [[], []]


def test_work_reads_each_vector_once_and_multiplies_each_pair():
    shard = filled([(i, [1, 2, 3, 4]) for i in range(10)])
    work = shard.scan_work(num_queries=3, tier="hbf")
    flops, reads = {"fp32": 2 * 3 * 10 * DIM}, {"hbf": 10 * DIM * 4}
    assert work == Work.of("search", flops=flops, reads=reads)


@pytest.mark.parametrize(
    ("ids", "rows", "texts", "what"),
    [
        ([1], [[1, 2, 3, 4]], ["a"], "already held"),
        ([-1], [[1, 2, 3, 4]], ["a"], "negative"),
        ([5, 5], [[1, 2, 3, 4]] * 2, ["a", "b"], "already held"),
        ([5], [[1, 2, 3, 4]] * 2, ["a"], "shape"),
        ([5], [[1, 2, 3, 4]], [], "one of each"),
        ([5], [[1, 2, 3, float("nan")]], ["a"], "NaN"),
        ([5], [[1, 2, 3, 2e19]], ["a"], "at most 5e\\+18"),  # sqrt(1e38 / 4 values)
    ],
)
def test_a_bad_addition_is_refused_and_changes_nothing(ids, rows, texts, what):
    shard = filled([(1, [1, 1, 1, 1])])
    with pytest.raises(ValueError, match=what):
        shard.add(ids, np.asarray(rows, np.float32), texts)
    assert shard.num_passages == 1
    assert shard.search(np.ones((1, DIM), np.float32), 9) == [[Hit(1, 4.0, "text 1", "file 1")]]


def test_bad_searches_are_refused():
    shard = filled([(1, [1, 1, 1, 1])])
    for queries, top_k, what in (
        (np.ones((1, 3), np.float32), 1, "shape"),
        (np.ones(DIM, np.float32), 1, "shape"),
        (np.full((1, DIM), np.inf, np.float32), 1, "NaN"),
        (np.full((1, DIM), 3e38, np.float32), 1, "at most 5e\\+18"),
        (np.ones((1, DIM), np.float32), 0, "top_k"),
    ):
        with pytest.raises(ValueError, match=what):
            shard.search(queries, top_k)


def test_a_hit_survives_its_body():
    hit = Hit(7, float(np.float32(0.1)), "text", "file")
    assert Hit.from_body(hit.to_body()) == hit


@given(PASSAGES, st.integers(0, 60), st.integers(0, 20))
def test_what_was_taken_back_goes_and_never_comes(
    passages: list[tuple[int, list[int]]], first: int, count: int
) -> None:
    shard, ids = filled(passages), range(first, first + count)
    kept = [passage for passage in passages if passage[0] not in ids]
    assert shard.take_back(ids) == len(passages) - len(kept)
    assert shard.take_back(ids) == 0
    assert shard.passage_ids.tolist() == [i for i, _ in kept]
    assert shard.search(vectors_of([[1, 0, 2, 0]]), 9) == [naive(kept, [1, 0, 2, 0], 9)]
    for late in ids:
        with pytest.raises(ValueError, match=f"passage_id {late} was taken back"):
            shard.add([late], vectors_of([[0, 0, 0, 1]]), ["text"])


def test_the_largest_numbers_that_are_taken_spoil_no_other_passage():
    """Four products of 5e18 x 5e18 are 1e38, which fp32 can hold; the others keep their order."""
    most = 5e18
    shard = filled([(1, [1, 0, 0, 0]), (2, [5 * 10**18] * DIM), (3, [0, 2, 0, 0])])
    (hits,) = shard.search(np.full((1, DIM), most, np.float32), 3)
    assert [hit.passage_id for hit in hits] == [2, 3, 1]
    assert all(np.isfinite(hit.score) for hit in hits)

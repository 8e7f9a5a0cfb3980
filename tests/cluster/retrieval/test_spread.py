"""Any number of shards answers as one does, hit by hit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.recall import BAR, measure
from cluster.cli.index import default_out, index_folder
from cluster.retrieval.embedder import make_embedder
from cluster.retrieval.index_folder import read_collection
from cluster.retrieval.spread import counts, merge, partition, server_of
from configs.perfuse_tiny import CORPUS_DIR, load_corpus, load_questions
from workers.memory.hit import Hit
from workers.memory.shard import RetrievalShard

DIM = 3
ROWS = st.lists(
    st.lists(st.integers(-1, 1), min_size=DIM, max_size=DIM), max_size=60
)  # ties abound


def shard_of(rows: np.ndarray, positions: list[int]) -> RetrievalShard:
    shard = RetrievalShard(DIM)
    shard.add(positions, rows[positions], [f"text {i}" for i in positions])
    return shard


@given(ROWS, st.integers(1, 7), st.integers(1, 9), st.integers(1, 12), st.randoms())
def test_merged_shards_equal_one_shard(rows, num_servers, stripe, top_k, rng):
    vectors = np.asarray(rows, np.float32).reshape(-1, DIM)
    queries = np.asarray([[1, 0, 0], [1, -1, 1], [0, 0, 0]], np.float32)
    whole = shard_of(vectors, list(range(len(rows)))).search(queries, top_k)
    parts = partition(range(len(rows)), num_servers, stripe)
    found = [shard_of(vectors, part).search(queries, top_k) for part in parts]
    rng.shuffle(found)  # answers arrive in any order
    assert [merge(hits, top_k) for hits in zip(*found, strict=True)] == whole


@given(st.integers(0, 200), st.integers(1, 7), st.integers(1, 9))
def test_how_many_each_server_holds_is_counted(num_passages, num_servers, stripe):
    parts = partition(range(num_passages), num_servers, stripe)
    assert counts(num_passages, num_servers, stripe) == [len(part) for part in parts]


@given(st.integers(1, 8), st.integers(1, 40), st.integers(0, 500))
def test_each_passage_has_one_server_and_shares_are_even(num_servers, stripe, count):
    parts = partition(range(count), num_servers, stripe)
    assert sorted(i for part in parts for i in part) == list(range(count))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= stripe
    for server, part in enumerate(parts):
        assert all(server_of(i, num_servers, stripe) == server for i in part)


def test_positions_are_not_ids():
    assert partition([32, 0, 17], num_servers=2, stripe=16) == [[0, 1], [2]]


def test_a_passage_that_two_servers_name_counts_once():
    one, two = Hit(1, 0.5, "a"), Hit(2, 0.25, "b")
    assert merge([[one, two], [one]], 3) == [one, two]
    assert merge([[], []], 3) == []


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="top_k is 0"):
        merge([], 0)
    for passage_id, num_servers, stripe in ((-1, 1, 1), (0, 0, 1), (0, 1, 0)):
        with pytest.raises(ValueError, match="at least 0, 1 and 1"):
            server_of(passage_id, num_servers, stripe)


def test_the_shipped_questions_find_their_cards_with_any_number_of_shards():
    questions = [(q.question, q.card) for q in load_questions() if q.card is not None]
    rows = measure(load_corpus(), questions, make_embedder("hashing"))
    assert len(rows) == 4
    assert all(row.holds and float(row.value) >= 100 * BAR for row in rows), rows


def test_the_index_command_makes_what_serving_reads(tmp_path):
    summary = index_folder(CORPUS_DIR, tmp_path / "index")
    collection = read_collection(summary.out, make_embedder("hashing"))
    assert list(collection.texts) == load_corpus()
    assert summary.num_passages == len(collection.passages)
    assert summary.vector_bytes == collection.vectors.nbytes
    assert default_out(tmp_path / "docs") == tmp_path / "docs.index"

"""What an inverted-file index finds, and what it says it reads."""

import numpy as np
import pytest

from tests.workers.memory.index.vectors import DIM, clustered, filled, indexed, on_axes
from workers.hardware.work import Demand
from workers.memory.id_ranges import IdRanges
from workers.memory.index.choice import IndexChoice
from workers.memory.index.plan import Plan
from workers.memory.index.recall import recall
from workers.memory.shard import RetrievalShard

NUM = 2_000  # 250 about each of 8 axes
FLAT = IndexChoice("ivf_flat", nlist=8, nprobe=2)
CODED = IndexChoice("ivf_pq", nlist=8, nprobe=2, m=4, rerank=32)
QUERIES = clustered(20, seed=9)


def plan(shard: RetrievalShard, query: np.ndarray, top_k: int = 10, among=None) -> Plan:
    return shard.plan(query.reshape(1, -1), top_k, among)


@pytest.mark.parametrize("choice", [FLAT, CODED])
def test_what_is_found_has_the_scores_of_a_scan(choice: IndexChoice) -> None:
    shard = indexed(clustered(NUM), choice)
    for query in QUERIES:
        all_of_it = {hit.passage_id: hit for hit in shard.search(query[None], NUM)[0]}
        (found,) = plan(shard, query).find()
        assert len(found) == 10 and all(all_of_it[hit.passage_id] == hit for hit in found)
        assert found == sorted(found, key=lambda hit: hit.rank())


def test_all_lists_flat_find_what_a_scan_finds() -> None:
    """`plan` itself would scan then, which reads less."""
    shard = indexed(clustered(NUM), IndexChoice("ivf_flat", nlist=8, nprobe=8))
    index = shard._index
    assert index is not None
    probes = index.probes(QUERIES, 10, None, NUM)
    assert shard._probed(index, probes, 10) == shard.search(QUERIES, 10)
    assert plan(shard, QUERIES[0]).work("hbf") == shard.scan_work(1, "hbf")


@pytest.mark.parametrize(("choice", "least"), [(FLAT, 0.9), (CODED, 0.9)])
def test_most_of_what_is_nearest_is_found_in_a_quarter_of_the_lists(choice, least) -> None:
    shard = indexed(clustered(NUM), choice)
    found = [plan(shard, query).find()[0] for query in QUERIES]
    assert recall(found, shard.search(QUERIES, 10)) >= least


def test_an_index_takes_what_it_learned_and_its_codes() -> None:
    """8 centroids of 8 values; by code also 4 books of 256 words of 2, and 4 + 8 bytes a passage.
    Lists of whole vectors hold what is counted as the passages themselves.
    """
    bare = filled(clustered(NUM), CODED)
    flat, coded = (indexed(clustered(NUM), choice) for choice in (FLAT, CODED))
    learned = 8 * 8 * 4 + 4 * 256 * 2 * 4
    assert flat.bytes_held() - bare.bytes_held() == 8 * 8 * 4
    assert coded.bytes_held() - bare.bytes_held() == learned + NUM * 12
    for shard in (coded, bare):
        shard.take_back(range(500))
    assert coded.bytes_held() - bare.bytes_held() == learned + 1_500 * 12


def test_work_is_what_was_probed() -> None:
    """Two lists of 250 entries: 4 + 8 bytes each by code, 32 + 8 whole. 8 centroids of 32 bytes; 32
    vectors are compared again.
    """
    query = np.array([3, 2, 0, 0, 0, 0, 0, 0], np.float32)
    coded = plan(on_axes(NUM, CODED), query).work("hbf")
    assert coded.demands == (
        Demand("compute.fp32", 2 * 8 * 8 + 2 * 256 * 8 + 500 * 4 + 2 * 32 * 8),
        Demand("hbf.read", 8 * 32),
        Demand("hbf.read", 500 * 12, 2),
        Demand("hbf.read", 32 * 32, 32),
    )
    flat = plan(on_axes(NUM, FLAT), query).work("hbf")
    assert flat.demands == (
        Demand("compute.fp32", 2 * 8 * 8 + 2 * 500 * 8),
        Demand("hbf.read", 8 * 32),
        Demand("hbf.read", 500 * 40, 2),
    )


def test_lists_are_probed_until_they_hold_enough() -> None:
    """250 in each: 600 need three lists, whatever nprobe says."""
    shard = on_axes(NUM, IndexChoice("ivf_flat", nlist=8, nprobe=1))
    (found,) = plan(shard, np.array([3, 2, 1, 0, 0, 0, 0, 0], np.float32), 600).find()
    scores = [hit.score for hit in found]
    assert (scores.count(3), scores.count(2), scores.count(1)) == (250, 250, 100)


@pytest.mark.parametrize("choice", [FLAT, CODED])
def test_only_wanted_passages_are_found_and_few_are_scanned(choice: IndexChoice) -> None:
    shard = indexed(clustered(NUM), choice)
    half = IdRanges([range(1_000, NUM)])
    (found,) = plan(shard, QUERIES[0], 10, half).find()
    assert len(found) == 10 and all(hit.passage_id >= 1_000 for hit in found)
    few = IdRanges([range(3, 20)])
    assert plan(shard, QUERIES[0], 10, few).work("hbf") == shard.scan_work(1, "hbf", few)
    assert plan(shard, QUERIES[0], 10, few).find() == shard.search(QUERIES[:1], 10, few)


@pytest.mark.parametrize("choice", [FLAT, CODED])
def test_what_was_taken_back_is_found_no_more_and_what_is_added_is(choice: IndexChoice) -> None:
    shard = indexed(clustered(NUM), choice)
    (before,) = plan(shard, QUERIES[0]).find()
    gone = before[0].passage_id
    shard.take_back(range(gone, gone + 1))
    shard.add([NUM], 2 * QUERIES[:1], ["new"])
    (after,) = plan(shard, QUERIES[0]).find()
    assert after[0].text == "new" and after[1:] == before[1:]


@pytest.mark.parametrize("choice", [FLAT, CODED])
def test_an_index_depends_on_its_quantiser_and_the_passages_alone(choice: IndexChoice) -> None:
    """Filled one by one, with some that went, it answers and reads as one that is made at once."""
    vectors = clustered(NUM + 300)
    grown = indexed(vectors[:NUM], choice)
    for i in range(NUM, NUM + 300):
        grown.add([i], vectors[i : i + 1], [f"passage {i}"])
    grown.take_back(range(100, 300))
    anew = filled(vectors, choice)
    anew.take_back(range(100, 300))
    assert grown.quantizer is not None
    anew.use(grown.quantizer)
    for query in QUERIES:
        one, other = plan(grown, query), plan(anew, query)
        assert one.find() == other.find() and one.work("hbf") == other.work("hbf")


def test_the_work_of_adding_by_hand() -> None:
    """Three vectors, two of them under one list: two accesses. A vector is compared with 8
    centroids and 256 code words.
    """
    more = np.eye(DIM, dtype=np.float32)[[0, 1, 1]]
    assert on_axes(NUM, CODED).add_work(more, "hbf").demands == (
        Demand("compute.fp32", 3 * 2 * 8 * (8 + 256)),
        Demand("hbf.write", 3 * 12, 2),
        Demand("hbf.write", 3 * 32),
    )
    assert on_axes(NUM, FLAT).add_work(more, "hbf").demands == (
        Demand("compute.fp32", 3 * 2 * 8 * 8),
        Demand("hbf.write", 3 * 40, 2),
    )
    assert filled(clustered(NUM), FLAT).add_work(more, "hbf").demands == (Demand("hbf.write", 96),)

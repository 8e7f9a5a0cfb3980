"""Vectors that the benchmark of retrieval draws, and the bytes that it counts."""

import numpy as np
import pytest

from benchmarks.memory.clustered import CHUNK, clustered
from benchmarks.memory.growth import all_row, window_row
from benchmarks.memory.retrieval import measure, pages_read
from workers.hardware.work import Demand, Work


def test_vectors_are_the_same_for_the_same_seed_of_length_one_and_lie_in_clusters() -> None:
    source = clustered(32, seed=1, clusters=4)
    one, other = (np.concatenate(list(source.draw(CHUNK + 5, seed=2))) for _ in range(2))
    assert one.shape == (CHUNK + 5, 32) and one.dtype == np.float32
    assert np.array_equal(one, other)
    assert not np.array_equal(one[:5], next(clustered(32, seed=1, clusters=4).draw(5, seed=3)))
    assert np.linalg.norm(one, axis=1) == pytest.approx(1, abs=1e-5)
    # centre 1 and a deviation of 0.8 across it: the cosine is about 1 / sqrt(1.64).
    nearest = (one @ source.centres.T).max(axis=1)
    assert abs(float(np.median(nearest)) - 0.78) < 0.05
    share = np.bincount((one @ source.centres.T).argmax(axis=1)) / len(one)
    assert share.argmax() == 0, "the first cluster is the largest"


def test_each_access_reads_whole_pages() -> None:
    """10,000 bytes at once are three pages; in four accesses, of 2,500, four; writes are none."""
    demands = (
        Demand("hbf.read", 10_000),
        Demand("hbf.read", 10_000, 4),
        Demand("hbf.read", 1_536 * 3, 3),
        Demand("hbf.write", 10**6),
        Demand("compute.fp32", 10**6),
    )
    assert pages_read(Work("search", demands)) == (3 + 4 + 3) * 4_096


def test_rows_of_few_vectors() -> None:
    """As many clusters as lists are not told apart in so few: the bars are those of a million."""
    recall, fewer = measure(12_000)
    assert 0 < float(recall.value) <= 1 and float(fewer.value) > 1
    assert "nlist 218, nprobe 14, m 48, rerank 256" in recall.evidence


def test_windows_by_hand() -> None:
    row = window_row("x", [100, 900, 150], "bytes", "counted")
    assert row.value == 1.5 and row.holds
    assert not window_row("x", [100, 151], "bytes", "counted").holds
    assert all_row("x", [100, 400, 100], "counted").value == 2
    assert not all_row("x", [100, 600], "counted").holds

"""Training is the same each time, and what was learned survives as bytes."""

import struct

import numpy as np
import pytest

from tests.workers.memory.index.vectors import DIM, clustered
from workers.memory.index.choice import Sizes
from workers.memory.index.quantizer import Quantizer, train, train_work

SIZES = Sizes(nlist=8, nprobe=2, m=2, rerank=16)


def test_training_gives_the_same_bits_each_time() -> None:
    sample = clustered(2_000)
    one, other = train(sample, SIZES, 2_000), train(sample.copy(), SIZES, 2_000)
    assert one.pack() == other.pack()
    assert one.pack() != train(clustered(2_000, seed=1), SIZES, 2_000).pack()


def test_centroids_are_where_the_clusters_are() -> None:
    """One about each axis."""
    centroids = train(clustered(2_000), SIZES, 2_000).centroids
    assert sorted(np.argmax(centroids, axis=1).tolist()) == list(range(8))
    assert (centroids.max(axis=1) > 0.95).all()
    assert np.linalg.norm(centroids, axis=1) == pytest.approx(1)


@pytest.mark.parametrize("m", [0, 2])
def test_a_quantiser_survives_as_bytes(m: int) -> None:
    quantizer = train(clustered(2_000), SIZES._replace(m=m), 2_000)
    data = quantizer.pack()
    # A head of 20 bytes, 8 centroids, and 256 code words of all subquantisers together.
    assert len(data) == 20 + 4 * DIM * (8 + (256 if m else 0))
    again = Quantizer.unpack(data, DIM)
    assert again.num_rows == 2_000 and np.array_equal(again.centroids, quantizer.centroids)
    assert again.pack() == data


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-4],
        lambda data: data + bytes(4),
        lambda data: data[:12] + struct.pack("<I", 4) + data[16:],  # of vectors of 4
        lambda data: data[:16] + struct.pack("<I", 3) + data[20:],  # 3 does not divide 8
        lambda data: data[:20] + struct.pack("<f", float("nan")) + data[24:],
    ],
)
def test_bytes_that_are_no_quantiser_are_refused(damage) -> None:
    data = train(clustered(2_000), SIZES, 2_000).pack()
    with pytest.raises(ValueError):
        Quantizer.unpack(damage(data), DIM)


def test_the_work_of_training_by_hand() -> None:
    """1,000 rows of 8 values, 32 bytes; all are in the sample of 64 x 256 points. Ten turns of both
    k-means read 1,000 rows each, then each row is read once: 21,000 rows. Pairs: 10 x 1,000 x (8 +
    256), and 1,000 x (8 + 256) to file them. Written: 1,000 entries of 2 + 8 bytes, 8 + 256 rows.
    """
    work = train_work(SIZES, 1_000, DIM, "hbf")
    assert work.amounts() == {
        "compute.fp32": 2 * 8 * 11 * 1_000 * 264,
        "hbf.read": 21_000 * 32,
        "hbf.write": 10_000 + 264 * 32,
    }
    flat = train_work(SIZES._replace(m=0), 1_000, DIM, "hbf")
    # The sample is 64 x 8 rows; entries are whole vectors and ids.
    assert flat.amounts() == {
        "compute.fp32": 2 * 8 * (10 * 512 * 8 + 1_000 * 8),
        "hbf.read": (10 * 512 + 1_000) * 32,
        "hbf.write": 1_000 * 40 + 8 * 32,
    }

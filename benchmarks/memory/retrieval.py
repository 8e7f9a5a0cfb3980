"""IVF-PQ on a million clustered vectors of 384 values: what it finds of an exact scan's best ten,
and what it reads for that.

Expected, before the first run at this size, from one of 300,000 vectors (97.6 % in 1/89): 2,000
lists, 125 probed. Centroids are 3.1 MB. Probed lists are larger than the mean, 500 passages, by
half or so: 94,000 entries of 48 + 8 bytes are 5.3 MB, and half a page more for each list 0.3 MB.
256 vectors, a page of 4 KiB each, are 1.0 MB. That is 9.6 MB of 1,536: 1/160. Recall is that of
300,000 vectors or a little more, 0.97: the same share of lists is probed, and each is a smaller
piece of space. k-means looks at 128,000 vectors ten times, 10^12 multiply-adds, filing them takes
0.9 x 10^12 more; at 40 x 10^9 a second both take 50 s, and making the vectors 10 s.

The first run gave 0.992 in 1/153, 10.0 MB a query, and took six minutes beside other work at a load
of 9 on 2 cores. That recall is above what was expected is not explained here.
"""

import time
from collections.abc import Sequence

import numpy as np

from benchmarks.memory.clustered import Vectors, clustered
from benchmarks.rows import Row
from workers.hardware.work import Work
from workers.memory.index.choice import IndexChoice
from workers.memory.index.recall import recall
from workers.memory.shard import RetrievalShard

NUM_VECTORS, DIM, NUM_QUERIES, TOP_K = 1_000_000, 384, 100, 10
RECALL_BAR, BYTES_BAR = 0.95, 50
# Of the HBF that a collection lies in: configs/devices/hbf-gen1.yaml.
PAGE_BYTES = 4096
SEED = 20_250
TIER = "hbf"


def fill(num_vectors: int) -> tuple[RetrievalShard, Vectors]:
    """A shard of them, its index not yet trained, and queries from the same clusters."""
    source = clustered(DIM, SEED)
    shard, first = RetrievalShard(DIM, IndexChoice("ivf_pq")), 0
    for vectors in source.draw(num_vectors, SEED + 1):
        shard.add(np.arange(first, first + len(vectors)), vectors, [""] * len(vectors))
        first += len(vectors)
    return shard, np.concatenate(list(source.draw(NUM_QUERIES, SEED + 2)))


def pages_read(work: Work) -> int:
    """Bytes that a tier of PAGE_BYTES moves, each access in whole pages."""
    total = 0
    for demand in work.demands:
        if demand.resource == f"{TIER}.read":
            size = -(-demand.amount // demand.accesses)
            total += demand.accesses * -(-size // PAGE_BYTES) * PAGE_BYTES
    return total


def measure(num_vectors: int) -> list[Row]:
    began_s = time.monotonic()
    shard, queries = fill(num_vectors)
    filled_s = time.monotonic()
    quantizer = shard.train()
    trained_s = time.monotonic()
    shard.use(quantizer)
    used_s = time.monotonic()
    truth = shard.search(queries, TOP_K)
    plans = [shard.plan(queries[at : at + 1], TOP_K) for at in range(len(queries))]
    share = recall([plan.find()[0] for plan in plans], truth)
    read = [pages_read(plan.work(TIER)) for plan in plans]
    scanned = pages_read(shard.scan_work(1, TIER))
    took = f"vectors {filled_s - began_s:.0f} s, k-means {trained_s - filled_s:.0f} s, filing "
    took += f"{used_s - trained_s:.0f} s"
    return rows(num_vectors, share, read, scanned, f"{shape(shard)}; {took}")


def shape(shard: RetrievalShard) -> str:
    sizes = shard.choice.sizes(shard.num_passages, shard.dim)
    return (
        f"nlist {sizes.nlist}, nprobe {sizes.nprobe}, m {sizes.m}, rerank {sizes.rerank}, all "
        "computed from the size"
    )


def rows(num_vectors: int, share: float, read: Sequence[int], scanned: int, how: str) -> list[Row]:
    mean = float(np.mean(read))
    what = f"IVF-PQ, {num_vectors:,} x {DIM} clustered"
    of = f"measured: {NUM_QUERIES} queries that are no passages, one at a time; {how}"
    return [
        Row(f"{what}: recall@{TOP_K}", share, "", f">= {RECALL_BAR}", share >= RECALL_BAR, of),
        Row(f"{what}: an exact scan's bytes beside its own", scanned / mean, "x",
            f">= {BYTES_BAR} x", scanned >= BYTES_BAR * mean,
            f"measured: declared in pages of {PAGE_BYTES} bytes, centroids, lists with their ids "
            f"and compared vectors: {mean / 1e6:.2f} MB a query on average, {max(read) / 1e6:.2f} "
            f"at most, of {scanned / 1e6:,.0f}"),
    ]  # fmt: skip


def run() -> list[Row]:
    return measure(NUM_VECTORS)

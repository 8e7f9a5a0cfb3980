"""The exact search: inner products with every vector, part by part; and with a few that an index
names.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from workers.hardware.work import Work
from workers.memory.hit import Hit
from workers.memory.id_ranges import IdRanges
from workers.memory.part import Part, Vectors

BYTES_PER_VALUE = 4
# From distance_compute_blas_threshold queries on (20 in older FAISS, 128000 in 1.15) it uses a BLAS
# product, whose rounding depends on the batch. Below that it takes each pair alone.
QUERIES_PER_CALL = 16

Lock = AbstractContextManager[object]


def scan(
    parts: Sequence[Part], lock: Lock, queries: Vectors, top_k: int, among: IdRanges | None
) -> list[list[Hit]]:
    """The top_k passages of each query [q, dim], best first; `lock` is held a part at a time."""
    found: list[list[Hit]] = []
    for start in range(0, len(queries), QUERIES_PER_CALL):
        batch = np.ascontiguousarray(queries[start : start + QUERIES_PER_CALL], np.float32)
        of_batch: list[list[Hit]] = [[] for _ in range(len(batch))]
        for part in parts:
            with lock:
                of_part = part.search(batch, top_k, among)
            for hits, more in zip(of_batch, of_part, strict=True):
                hits.extend(more)
        found.extend(sorted(hits, key=Hit.rank)[:top_k] for hits in of_batch)
    return found


def scan_work(num_queries: int, num_passages: int, dim: int, tier: str) -> Work:
    """Each vector is read once, whatever the number of queries; each pair costs `dim`
    multiply-adds.
    """
    return Work.of(
        "search",
        flops={"fp32": 2 * num_queries * num_passages * dim},
        reads={tier: num_passages * dim * BYTES_PER_VALUE},
    )


def compare(
    part_of: Callable[[int], Part | None], query: Vectors, ids: NDArray[np.int64], top_k: int
) -> list[Hit]:
    """The best top_k of passages `ids` for one query [dim], with the scores of a scan to the bit;
    those that went meanwhile are left out.
    """
    by_part: dict[Part, list[int]] = {}
    for passage_id in ids.tolist():
        part = part_of(passage_id)
        if part is not None:
            by_part.setdefault(part, []).append(passage_id)
    query = np.ascontiguousarray(query, np.float32)
    best: list[tuple[float, int, Part]] = []
    for part, here in by_part.items():
        scores = part.scores(query, np.array(here, np.int64))
        best.extend((-score, one, part) for score, one in zip(scores.tolist(), here, strict=True))
    best.sort(key=lambda entry: entry[:2])
    return [part.hit(passage_id, -score) for score, passage_id, part in best[:top_k]]

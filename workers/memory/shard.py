"""A memory server's part of a collection: vectors that it scans beside the memory which holds them.

The only file that knows FAISS. Search is exact (inner product with every vector), so a collection
gives the same answer however many shards it is cut into: the score of a pair depends on the pair
alone.
"""

import threading
from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from workers.hardware.work import Work
from workers.memory.hit import Hit

BYTES_PER_VALUE = 4
# From distance_compute_blas_threshold queries on (20 in older FAISS, 128000 in 1.15) it uses a BLAS
# product, whose rounding depends on the batch. Below that it takes each pair alone.
QUERIES_PER_CALL = 16
# No sum of products may be larger: a third of fp32's range, for roundings on the way.
SCORE_MAX = 1e38


class RetrievalShard:
    """Passages in the order they were added; ids are unique. One thread may add and another one
    search.
    """

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise ValueError(f"dim is {dim}: a vector has at least 1 value")
        # One thread: the emulated machine has its own parallelism, and this process shares its
        # cores with others.
        faiss.omp_set_num_threads(1)
        self.dim = dim
        self._lock = threading.Lock()  # FAISS lets Python's go
        self._index: Any = faiss.IndexFlatIP(dim)
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._known: dict[int, None] = {}
        self._taken_back: list[range] = []
        self._texts: list[str] = []
        self._file_ids: list[str] = []
        self._text_bytes = 0

    @property
    def num_passages(self) -> int:
        return len(self._texts)

    @property
    def passage_ids(self) -> NDArray[np.int64]:
        """[num_passages], a copy, in row order."""
        return self._ids.copy()

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._texts)

    @property
    def file_ids(self) -> tuple[str, ...]:
        """The file of each passage, in row order."""
        return tuple(self._file_ids)

    def vectors(self) -> NDArray[np.float32]:
        """[num_passages, dim], a copy."""
        vectors: NDArray[np.float32] = self._index.reconstruct_n(0, self.num_passages)
        return vectors

    def vector_bytes(self) -> int:
        """Bytes that one scan reads."""
        return self.num_passages * self.dim * BYTES_PER_VALUE

    def bytes_held(self) -> int:
        """Bytes of vectors, ids and texts."""
        return self.vector_bytes() + self._ids.nbytes + self._text_bytes

    def add(
        self,
        passage_ids: Sequence[int] | NDArray[np.int64],
        vectors: NDArray[np.float32],
        texts: Sequence[str],
        file_ids: Sequence[str] | None = None,
    ) -> None:
        """Add passages: ids [n] >= 0, vectors [n, dim] float32, texts [n], file_ids [n] (default:
        none).

        All or nothing. Raises ValueError on lengths that differ, ids that are negative or known,
        values that are not finite.
        """
        ids = np.asarray(passage_ids, np.int64).reshape(-1)
        files = [""] * len(texts) if file_ids is None else list(file_ids)
        self._check(ids, vectors, texts, files)
        with self._lock:
            self._index.add(np.ascontiguousarray(vectors, np.float32))
            self._ids = np.concatenate([self._ids, ids])
            self._known.update(dict.fromkeys(ids.tolist()))
            self._texts.extend(texts)
            self._file_ids.extend(files)
            self._text_bytes += sum(len(text.encode()) for text in texts)

    def _check(
        self,
        ids: NDArray[np.int64],
        vectors: NDArray[np.float32],
        texts: Sequence[str],
        files: Sequence[str],
    ) -> None:
        if vectors.shape != (len(ids), self.dim):
            raise ValueError(
                f"vectors have shape {vectors.shape}: {len(ids)} passages of this shard need "
                f"({len(ids)}, {self.dim})"
            )
        if not len(ids) == len(texts) == len(files):
            raise ValueError(
                f"{len(ids)} passage_ids, {len(texts)} texts, {len(files)} file_ids: "
                "one of each a passage"
            )
        self._check_values("vectors", vectors)
        seen: dict[int, None] = {}
        for passage_id in ids.tolist():
            if passage_id < 0 or passage_id in self._known or passage_id in seen:
                raise ValueError(f"passage_id {passage_id} is negative or already held")
            if any(passage_id in ids for ids in self._taken_back):
                raise ValueError(f"passage_id {passage_id} was taken back")
            seen[passage_id] = None

    def take_back(self, passage_ids: range) -> int:
        """Drop these passages, now and should they still come; returns how many were here."""
        if passage_ids not in self._taken_back:
            self._taken_back.append(passage_ids)
        return self._remove([row for row, i in enumerate(self._ids.tolist()) if i in passage_ids])

    def _check_values(self, name: str, vectors: NDArray[np.float32]) -> None:
        """Products of what passes are finite, and so are their sums: one passage's numbers decide
        nothing about the others'.
        """
        most = float(np.sqrt(SCORE_MAX / self.dim))
        if not np.isfinite(vectors).all():
            raise ValueError(f"{name} hold NaN or infinity: scores would have no order")
        if vectors.size and float(np.abs(vectors).max()) > most:
            raise ValueError(
                f"{name} hold {np.abs(vectors).max():.3g}: values of {self.dim} must be at most "
                f"{most:.3g}, else scores are infinite and have no order"
            )

    def remove_file(self, file_id: str) -> int:
        """Drop the passages of one file; returns how many there were."""
        return self._remove([row for row, held in enumerate(self._file_ids) if held == file_id])

    def _remove(self, removed: Sequence[int]) -> int:
        """Rows, in order."""
        if not removed:
            return 0
        with self._lock:
            gone = np.zeros(self.num_passages, bool)
            gone[removed] = True
            for row in removed:
                del self._known[int(self._ids[row])]
                self._text_bytes -= len(self._texts[row].encode())
            self._index.remove_ids(np.asarray(removed, np.int64))  # the rows after them move up
            self._ids = self._ids[~gone]
            kept = np.flatnonzero(~gone).tolist()
            self._texts = [self._texts[row] for row in kept]
            self._file_ids = [self._file_ids[row] for row in kept]
        return len(removed)

    def search(self, queries: NDArray[np.float32], top_k: int) -> list[list[Hit]]:
        """The top_k passages (fewer if the shard holds fewer) of each query [q, dim], best first.

        Equal scores stand in the order of their passage ids. Raises ValueError on a wrong shape, on
        values that are not finite, or if top_k < 1.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(f"queries have shape {queries.shape}: it must be (q, {self.dim})")
        self._check_values("queries", queries)
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}: it must be at least 1")
        if self.num_passages == 0:
            return [[] for _ in range(len(queries))]
        found: list[list[Hit]] = []
        for start in range(0, len(queries), QUERIES_PER_CALL):
            batch = np.ascontiguousarray(queries[start : start + QUERIES_PER_CALL], np.float32)
            with self._lock:
                found.extend(self._search_batch(batch, top_k))
        return found

    def _search_batch(self, queries: NDArray[np.float32], top_k: int) -> list[list[Hit]]:
        """FAISS may keep any of several scores equal at the edge: widen until it is clear."""
        wanted = min(top_k, self.num_passages)
        depth = min(wanted + 1, self.num_passages)
        scores, rows = self._index.search(queries, depth)
        while depth < self.num_passages and (scores[:, wanted - 1] == scores[:, -1]).any():
            depth = min(4 * depth, self.num_passages)
            scores, rows = self._index.search(queries, depth)
        ids = self._ids[rows]
        order = np.lexsort((ids, -scores), axis=1)[:, :wanted]
        return [
            [self._hit(int(rows[q, i]), float(scores[q, i])) for i in order[q]]
            for q in range(len(queries))
        ]

    def _hit(self, row: int, score: float) -> Hit:
        return Hit(int(self._ids[row]), score, self._texts[row], self._file_ids[row])

    def scan_work(self, num_queries: int, tier: str) -> Work:
        """What a search of num_queries asks of the machine whose `tier` ("hbm", "hbf", "ddr" ...)
        holds the vectors.

        Each vector is read once, whatever the number of queries; each pair costs `dim`
        multiply-adds.
        """
        return Work.of(
            "search",
            flops={"fp32": 2 * num_queries * self.num_passages * self.dim},
            reads={tier: self.vector_bytes()},
        )

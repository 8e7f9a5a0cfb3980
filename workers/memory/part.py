"""A few thousand passages of a shard, in one index of FAISS.

A shard is made of parts, so that no addition copies what is there: an index grows by moving all of
it. What is dropped stays in its row, unseen, until half of the part is gone.
"""

from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from workers.memory.hit import Hit
from workers.memory.id_ranges import IdRanges

ROWS_MAX = 4096

Vectors = NDArray[np.float32]


class Part:
    """Rows in the order in which they were added, up to ROWS_MAX."""

    def __init__(self, dim: int) -> None:
        # One thread: the emulated machine has its own parallelism, and this process shares its
        # cores with others.
        faiss.omp_set_num_threads(1)
        self.dim = dim
        self._index: Any = faiss.IndexFlatIP(dim)
        self._ids: NDArray[np.int64] = np.zeros(ROWS_MAX, np.int64)
        self._alive: NDArray[np.bool_] = np.zeros(ROWS_MAX, bool)
        self._texts: list[str] = []
        self._file_ids: list[str] = []
        self.num_alive = 0
        self._order: NDArray[np.intp] | None = None  # rows by their ids, once somebody asks

    @property
    def room(self) -> int:
        return ROWS_MAX - len(self._texts)

    @property
    def is_worn(self) -> bool:
        """More of it is gone than there."""
        return len(self._texts) > 2 * self.num_alive

    def _rows(self) -> NDArray[np.intp]:
        return np.flatnonzero(self._alive)

    @property
    def ids(self) -> NDArray[np.int64]:
        return self._ids[self._rows()]

    @property
    def texts(self) -> list[str]:
        return [self._texts[row] for row in self._rows().tolist()]

    @property
    def file_ids(self) -> list[str]:
        return [self._file_ids[row] for row in self._rows().tolist()]

    def vectors(self) -> Vectors:
        """[num_alive, dim], a copy."""
        vectors: Vectors = self._index.reconstruct_n(0, len(self._texts))[self._rows()]
        return vectors

    def add(
        self, ids: NDArray[np.int64], vectors: Vectors, texts: Sequence[str], files: Sequence[str]
    ) -> None:
        """No more than `room`."""
        begin, end = len(self._texts), len(self._texts) + len(ids)
        self._index.add(np.ascontiguousarray(vectors, np.float32))
        self._ids[begin:end] = ids
        self._alive[begin:end] = True
        self._texts.extend(texts)
        self._file_ids.extend(files)
        self.num_alive += len(ids)
        self._order = None

    def drop(self, passage_ids: range) -> tuple[list[int], int]:
        """(ids that were here, bytes of their texts)."""
        of_range = (self._ids >= passage_ids.start) & (self._ids < passage_ids.stop)
        rows = np.flatnonzero(self._alive & of_range).tolist()
        num_bytes = 0
        for row in rows:
            num_bytes += len(self._texts[row].encode())
            self._texts[row] = ""
        self._alive[rows] = False
        self.num_alive -= len(rows)
        return self._ids[rows].tolist(), num_bytes

    def rebuilt(self) -> "Part":
        """The same without what is gone."""
        part = Part(self.dim)
        part.add(self.ids, self.vectors(), self.texts, self.file_ids)
        return part

    def _wanted(self, among: IdRanges | None) -> NDArray[np.bool_]:
        """Of each row."""
        num_rows = len(self._texts)
        alive = self._alive[:num_rows]
        return alive if among is None else alive & among.mask(self._ids[:num_rows])

    def count(self, among: IdRanges | None) -> int:
        return self.num_alive if among is None else int(self._wanted(among).sum())

    def search(
        self, queries: Vectors, top_k: int, among: IdRanges | None = None
    ) -> list[list[Hit]]:
        """The top_k passages, of those whose ids are `among`, for each query, best first.

        FAISS may keep any of several scores equal at the edge: widen until it is clear.
        """
        wanted = self._wanted(among)
        num_wanted = int(wanted.sum())
        if not num_wanted:
            return [[] for _ in range(len(queries))]
        how: Any = None
        if num_wanted < len(wanted):
            library: Any = faiss  # its stubs know the C++ arguments alone
            bits = np.packbits(wanted, bitorder="little")
            how = library.SearchParameters(sel=library.IDSelectorBitmap(bits))
        most = min(top_k, num_wanted)
        depth = min(most + 1, num_wanted)
        scores, rows = self._index.search(queries, depth, params=how)
        while depth < num_wanted and (scores[:, most - 1] == scores[:, -1]).any():
            depth = min(4 * depth, num_wanted)
            scores, rows = self._index.search(queries, depth, params=how)
        order = np.lexsort((self._ids[rows], -scores), axis=1)[:, :most]
        return [
            [self._hit(int(rows[q, i]), float(scores[q, i])) for i in order[q]]
            for q in range(len(queries))
        ]

    def _rows_of(self, passage_ids: NDArray[np.int64]) -> NDArray[np.intp]:
        """Of passages that are here."""
        ids = self._ids[: len(self._texts)]
        if self._order is None:
            self._order = np.argsort(ids)
        return self._order[np.searchsorted(ids, passage_ids, sorter=self._order)]

    def scores(self, query: Vectors, passage_ids: NDArray[np.int64]) -> Vectors:
        """[n]: of passages that are here with a query [dim]; the same bits as in a search."""
        rows = self._rows_of(passage_ids).astype(np.int64)
        scores = np.empty(len(rows), np.float32)
        library: Any = faiss
        pointers = [library.swig_ptr(one) for one in (query, scores, rows)]
        self._index.compute_distance_subset(1, pointers[0], len(rows), pointers[1], pointers[2])
        return scores

    def vectors_of(self, passage_ids: NDArray[np.int64]) -> Vectors:
        """[n, dim]: of passages that are here."""
        vectors: Vectors = self._index.reconstruct_batch(self._rows_of(passage_ids))
        return vectors

    def passage(self, passage_id: int) -> tuple[str, str]:
        """(text, file) of one that is here."""
        row = int(self._rows_of(np.array([passage_id]))[0])
        return self._texts[row], self._file_ids[row]

    def hit(self, passage_id: int, score: float) -> Hit:
        """A passage that is here."""
        return self._hit(int(self._rows_of(np.array([passage_id]))[0]), score)

    def _hit(self, row: int, score: float) -> Hit:
        return Hit(int(self._ids[row]), score, self._texts[row], self._file_ids[row])

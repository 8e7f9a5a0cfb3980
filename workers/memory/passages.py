"""Passages that a memory server holds, with their vectors, which it scans beside the memory.

A scan is exact (inner product with every vector), so a collection gives the same answer however
many shards it is cut into: the score of a pair depends on the pair alone.
"""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.hardware.work import Work
from workers.memory.hit import Hit
from workers.memory.id_ranges import IdRanges
from workers.memory.index.exact import BYTES_PER_VALUE, scan, scan_work
from workers.memory.part import Part
from workers.memory.values import Vectors, check_queries, check_values

BYTES_PER_ID = 8

Ids = Sequence[int] | NDArray[np.int64]


class Passages:
    """Passages in the order they were added; ids are unique. One thread may add and another one
    search.
    """

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise ValueError(f"dim is {dim}: a vector has at least 1 value")
        self.dim = dim
        self._lock = threading.Lock()  # FAISS lets Python's go
        self._parts: list[Part] = []
        self._known: dict[int, Part] = {}
        self._taken_back = IdRanges()
        self._text_bytes = 0
        self._in_order: NDArray[np.int64] | None = None  # all ids, once somebody asks

    @property
    def num_passages(self) -> int:
        return len(self._known)

    @property
    def passage_ids(self) -> NDArray[np.int64]:
        """[num_passages], a copy, in row order."""
        return np.concatenate([np.zeros(0, np.int64), *(part.ids for part in self._parts)])

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for part in self._parts for text in part.texts)

    @property
    def file_ids(self) -> tuple[str, ...]:
        """The file of each passage, in row order."""
        return tuple(file_id for part in self._parts for file_id in part.file_ids)

    @property
    def taken_back(self) -> tuple[range, ...]:
        """Ids that come no more."""
        return tuple(self._taken_back)

    def vectors(self) -> Vectors:
        """[num_passages, dim], a copy."""
        none = np.zeros((0, self.dim), np.float32)
        return np.concatenate([none, *(part.vectors() for part in self._parts)])

    def pieces(self) -> Iterator[tuple[NDArray[np.int64], Vectors, list[str], list[str]]]:
        """All of it, some thousand passages at a time: ids, vectors, texts, files."""
        for part in self._parts:
            if part.num_alive:
                yield part.ids, part.vectors(), part.texts, part.file_ids

    def bytes_held(self) -> int:
        """Bytes of vectors, ids and texts."""
        passage_bytes = self.dim * BYTES_PER_VALUE + BYTES_PER_ID
        return self.num_passages * passage_bytes + self._text_bytes

    def add(
        self,
        passage_ids: Ids,
        vectors: Vectors,
        texts: Sequence[str],
        file_ids: Sequence[str] | None = None,
    ) -> None:
        """Add passages: ids [n] >= 0, vectors [n, dim] float32, texts [n], file_ids [n] (default:
        none).

        All or nothing. Raises ValueError as `check` does.
        """
        files = [""] * len(texts) if file_ids is None else file_ids
        ids = self.check(passage_ids, vectors, texts, files)
        start = 0
        with self._lock:
            while start < len(ids):
                if not self._parts or not self._parts[-1].room:
                    self._parts.append(Part(self.dim))
                part = self._parts[-1]
                rows = slice(start, start + part.room)
                part.add(ids[rows], vectors[rows], texts[rows], files[rows])
                self._known.update(dict.fromkeys(ids[rows].tolist(), part))
                start = rows.stop
            self._text_bytes += sum(len(text.encode()) for text in texts)
            self._in_order = None

    def check(
        self, passage_ids: Ids, vectors: Vectors, texts: Sequence[str], files: Sequence[str]
    ) -> NDArray[np.int64]:
        """Raises ValueError on lengths that differ, ids that are negative, known or taken back,
        values that are not finite; returns the ids.
        """
        ids = np.asarray(passage_ids, np.int64).reshape(-1)
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
        check_values("vectors", vectors)
        seen: dict[int, None] = {}
        for passage_id in ids.tolist():
            if passage_id < 0 or passage_id in self._known or passage_id in seen:
                raise ValueError(f"passage_id {passage_id} is negative or already held")
            if passage_id in self._taken_back:
                raise ValueError(f"passage_id {passage_id} was taken back")
            seen[passage_id] = None
        return ids

    def take_back(self, passage_ids: range) -> int:
        """Drop these passages, now and should they still come; returns how many were here."""
        self._taken_back.add(passage_ids)
        return self._drop(passage_ids)

    def _drop(self, passage_ids: range) -> int:
        count = 0
        for part in self._parts:
            with self._lock:
                gone, num_bytes = part.drop(passage_ids)
                self._text_bytes -= num_bytes
                for passage_id in gone:
                    del self._known[passage_id]
                if gone:
                    self._in_order = None
            count += len(gone)
        # Whoever searches meanwhile has the old parts; nobody else changes any.
        whole = [part.rebuilt() if part.is_worn else part for part in self._parts]
        with self._lock:
            self._parts, before = [part for part in whole if part.num_alive], self._parts
            for part in self._parts:
                if part not in before:
                    self._known.update(dict.fromkeys(part.ids.tolist(), part))
        return count

    def search(
        self, queries: Vectors, top_k: int, among: IdRanges | None = None
    ) -> list[list[Hit]]:
        """The top_k passages (fewer if there are fewer) of each query [q, dim], best first; of
        those whose ids are `among`, if that is given.

        Equal scores stand in the order of their passage ids. Raises ValueError on a wrong shape, on
        values that are not finite, or if top_k < 1.
        """
        check_queries(queries, self.dim, top_k)
        return scan(self._parts, self._lock, queries, top_k, among)

    def count(self, among: IdRanges | None) -> int:
        """Passages, of those whose ids are `among`, if that is given."""
        if among is None:
            return self.num_passages
        return sum(part.count(among) for part in self._parts)

    def texts_of(self, passage_ids: range) -> list[tuple[int, str]]:
        """(id, text) of the passages that are here, by id."""
        with self._lock:
            parts = list(self._parts)
        found = [
            (passage_id, text)
            for part in parts
            for passage_id, text in zip(part.ids.tolist(), part.texts, strict=True)
            if passage_id in passage_ids
        ]
        return sorted(found)

    def ids_from(
        self, first_id: int, most: int, among: IdRanges | None = None
    ) -> tuple[NDArray[np.int64], bool]:
        """The next ids in order, `most` at most, of those that are `among`; whether these are the
        last.
        """
        with self._lock:
            if self._in_order is None:
                self._in_order = np.sort(np.fromiter(self._known, np.int64, len(self._known)))
            ids = self._in_order[np.searchsorted(self._in_order, first_id) :]
        if among is not None:
            ids = ids[among.mask(ids)]
        return ids[:most], len(ids) <= most

    def vectors_of(self, passage_ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], Vectors]:
        """Those of them that are here, in the same order, and their vectors [n, dim], a copy."""
        with self._lock:
            found = [(i, part) for i in passage_ids.tolist() if (part := self._known.get(i))]
            ids = np.array([i for i, _ in found], np.int64)
            vectors = np.empty((len(ids), self.dim), np.float32)
            numbers = {part: n for n, part in enumerate(dict.fromkeys(part for _, part in found))}
            owners = np.array([numbers[part] for _, part in found], np.intp)
            for part, number in numbers.items():
                rows = np.flatnonzero(owners == number)
                vectors[rows] = part.vectors_of(ids[rows])
        return ids, vectors

    def passages_of(self, passage_ids: Sequence[int]) -> list[tuple[str, str]]:
        """(text, file) of each; both are empty where it is not here."""
        with self._lock:
            parts = [(i, self._known.get(i)) for i in passage_ids]
            return [part.passage(i) if part is not None else ("", "") for i, part in parts]

    def scan_work(self, num_queries: int, tier: str, among: IdRanges | None = None) -> Work:
        """What an exact search of num_queries asks of the machine whose `tier` ("hbm", "hbf", "ddr"
        ...) holds the vectors.
        """
        return scan_work(num_queries, self.count(among), self.dim, tier)

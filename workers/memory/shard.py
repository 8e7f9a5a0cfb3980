"""A memory server's part of a collection, and the index by which it is searched: all of it is
scanned, or inverted lists near the query.

What an index finds has the scores of a scan. An index is there once the shard is large enough; it
is trained again as the shard grows, and it can be made anew from its quantiser and the passages.
"""

from collections.abc import Sequence

import numpy as np

from workers.hardware.work import Work
from workers.memory.hit import Hit
from workers.memory.id_ranges import IdRanges
from workers.memory.index.choice import EXACT, IndexChoice
from workers.memory.index.exact import BYTES_PER_VALUE, compare
from workers.memory.index.ivf import InvertedIndex, Probe
from workers.memory.index.plan import Plan
from workers.memory.index.quantizer import Quantizer, rows_to_train, train, train_work
from workers.memory.passages import Ids, Passages
from workers.memory.values import Vectors, check_queries


class RetrievalShard(Passages):
    """See `Passages`; `search` is exact, whatever index there is."""

    def __init__(self, dim: int, choice: IndexChoice = EXACT) -> None:
        """Raises ValueError if dim < 1, or if no such vectors have that index."""
        super().__init__(dim)
        choice.check(dim)
        self.choice = choice
        self._index: InvertedIndex | None = None

    def add(
        self,
        passage_ids: Ids,
        vectors: Vectors,
        texts: Sequence[str],
        file_ids: Sequence[str] | None = None,
    ) -> None:
        """See `Passages`."""
        super().add(passage_ids, vectors, texts, file_ids)
        if self._index is not None:
            with self._lock:
                self._index.add(np.asarray(passage_ids, np.int64), vectors)

    def _drop(self, passage_ids: range) -> int:
        count = super()._drop(passage_ids)
        if self._index is not None and count:
            with self._lock:
                self._index.remove(passage_ids)
        return count

    def plan(self, queries: Vectors, top_k: int, among: IdRanges | None = None) -> Plan:
        """The search that the shard's index does; an exact one where there is none yet, or where
        that reads no more.

        Raises ValueError on a wrong shape, on values that are not finite, or if top_k < 1.
        """
        check_queries(queries, self.dim, top_k)
        exact = Plan(
            lambda tier: self.scan_work(len(queries), tier, among),
            lambda: self.search(queries, top_k, among),
        )
        index = self._index
        if index is None:
            return exact
        num_wanted = self.count(among)
        with self._lock:
            probes = index.probes(queries, top_k, among, num_wanted)
        if num_wanted * self.dim * BYTES_PER_VALUE <= index.bytes_to_read(probes, top_k):
            return exact
        return Plan(
            lambda tier: index.work(probes, top_k, tier),
            lambda: self._probed(index, probes, top_k),
        )

    def _probed(self, index: InvertedIndex, probes: Sequence[Probe], top_k: int) -> list[list[Hit]]:
        found = []
        for probe in probes:
            with self._lock:
                ids = index.candidates(probe, top_k)
                found.append(compare(self._known.get, probe.query, ids, top_k))
        return found

    def bytes_held(self) -> int:
        """Bytes of vectors, ids and texts, and of the index."""
        held, index = super().bytes_held(), self._index
        return held if index is None else held + index.bytes_beside(self.num_passages)

    @property
    def quantizer(self) -> Quantizer | None:
        """Of the index in use."""
        return None if self._index is None else self._index.quantizer

    @property
    def is_index_due(self) -> bool:
        """Whether the shard is large enough for an index, or far larger than when it had its
        last.
        """
        trained = 0 if self._index is None else self._index.quantizer.num_rows
        return self.choice.is_due(self.num_passages, trained)

    def train(self) -> Quantizer:
        """Of an index for what is here now. As `add`, by one thread at a time."""
        sizes = self.choice.sizes(self.num_passages, self.dim)
        step = max(1, self.num_passages // rows_to_train(sizes))
        sample = np.concatenate([part.vectors()[::step] for part in self._parts])
        return train(sample, sizes, self.num_passages)

    def train_work(self, tier: str) -> Work:
        sizes = self.choice.sizes(self.num_passages, self.dim)
        return train_work(sizes, self.num_passages, self.dim, tier)

    def use(self, quantizer: Quantizer) -> None:
        """From now on, with all that is here. As `add`, by one thread at a time."""
        index = InvertedIndex(self.choice, quantizer)
        for part in self._parts:
            index.add(part.ids, part.vectors())
        with self._lock:
            self._index = index

    def add_work(self, vectors: Vectors, tier: str) -> Work:
        """What adding vectors [n, dim] asks of a machine."""
        fits = vectors.ndim == 2 and vectors.shape[1] == self.dim  # else it will be refused
        if self._index is None or not fits:
            return Work.of("store_add", writes={tier: vectors.nbytes})
        num_lists = len(set(self._index.lists_of(vectors).tolist()))
        return self._index.add_work(len(vectors), num_lists, tier)

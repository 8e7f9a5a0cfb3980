"""An inverted-file index of a shard: a query reads the lists of the centroids that are nearest to
it, and the vectors of the passages that seem best; these are compared as an exact search does.

What it finds depends on its quantiser, on what the shard holds and in which order that came: not on
how it was cut into additions, nor on a restart.
"""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from workers.hardware.work import Demand, Work
from workers.memory.id_ranges import IdRanges
from workers.memory.index.choice import CODEWORDS, IndexChoice, Sizes
from workers.memory.index.lists import CodedLists, FlatLists, Ids, Lists
from workers.memory.index.quantizer import Quantizer

# With more queries FAISS may use a BLAS product, whose rounding depends on the batch: a vector
# must be filed under the same list whatever it came with.
ROWS_PER_CALL = 16

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Probe:
    """What one query reads.

    lists, scores   numbers of lists, the nearest first; their centroids' scores
    num_read        of them that hold anything        num_entries   passages in them
    wanted          those of them that may be found; None: all
    """

    query: Vectors
    lists: Ids
    scores: Vectors
    num_read: int
    num_entries: int
    wanted: Ids | None

    @property
    def num_wanted(self) -> int:
        return self.num_entries if self.wanted is None else len(self.wanted)


class InvertedIndex:
    """Of a shard's passages, by their ids."""

    def __init__(self, choice: IndexChoice, quantizer: Quantizer) -> None:
        """Raises ValueError for a quantiser of another kind of index."""
        has_codes = quantizer.codebooks is not None
        if choice.kind != ("ivf_pq" if has_codes else "ivf_flat"):
            raise ValueError(f"index {choice.kind!r} has no such quantiser")
        self.quantizer = quantizer
        self.nlist, self.dim = quantizer.centroids.shape
        m = 0 if quantizer.codebooks is None else len(quantizer.codebooks)
        # What was learned counts, should other sizes be computed today.
        self.sizes: Sizes = choice.sizes(quantizer.num_rows, self.dim)._replace(
            nlist=self.nlist, m=m
        )
        self._coarse: Any = faiss.IndexFlatIP(self.dim)
        self._coarse.add(quantizer.centroids)
        self._lists: Lists = CodedLists(quantizer) if has_codes else FlatLists(quantizer)

    def bytes_beside(self, num_passages: int) -> int:
        """What it takes beside that many passages: what was learned, and their codes with ids.
        Lists of whole vectors are those of the passages.
        """
        books = self.quantizer.codebooks
        learned = self.quantizer.centroids.nbytes + (0 if books is None else books.nbytes)
        return learned + num_passages * self._lists.beside_bytes

    def lists_of(self, vectors: Vectors) -> Ids:
        """[n]: the list of each of the vectors [n, dim] float32."""
        library: Any = faiss
        library.omp_set_num_threads(1)
        nearest = np.zeros(len(vectors), np.int64)
        for start in range(0, len(vectors), ROWS_PER_CALL):
            rows = slice(start, start + ROWS_PER_CALL)
            nearest[rows] = self._coarse.search(np.ascontiguousarray(vectors[rows]), 1)[1][:, 0]
        return nearest

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """File passages ids [n], vectors [n, dim] float32."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        self._lists.add(self.lists_of(vectors), np.ascontiguousarray(ids), vectors)

    def remove(self, ids: range) -> None:
        self._lists.remove(ids)

    def probes(
        self, queries: Vectors, top_k: int, among: IdRanges | None, num_there: int
    ) -> list[Probe]:
        """For each query [q, dim]: nprobe lists, or as many as hold top_k that may be found, of
        `num_there` in the whole shard.
        """
        return [self._probe(query, min(top_k, num_there), among) for query in queries]

    def _probe(self, query: Vectors, needed: int, among: IdRanges | None) -> Probe:
        depth = min(self.sizes.nprobe, self.nlist)
        while True:
            found, numbers = self._coarse.search(query[None], depth)
            probe = self._look(query, numbers[0], found[0], among)
            if probe.num_wanted >= needed or depth == self.nlist:
                return probe
            depth = min(2 * depth, self.nlist)

    def _look(self, query: Vectors, lists: Ids, scores: Vectors, among: IdRanges | None) -> Probe:
        counts = [self._lists.size(number) for number in lists.tolist()]
        wanted = None
        if among is not None:
            ids = np.concatenate([self._lists.ids(number) for number in lists.tolist()])
            wanted = ids[among.mask(ids)]
        read = sum(count > 0 for count in counts)
        return Probe(query, lists, scores, read, sum(counts), wanted)

    def depth(self, top_k: int) -> int:
        """Candidates whose vectors are compared."""
        return max(self.sizes.rerank, top_k)

    def candidates(self, probe: Probe, top_k: int) -> Ids:
        """Passages whose vectors are to be compared: those of the lists, or the best by code."""
        depth = self.depth(top_k)
        return self._lists.best(probe.query, probe.lists, probe.scores, depth, probe.wanted)

    def work(self, probes: list[Probe], top_k: int, tier: str) -> Work:
        """Centroids are read once for all queries; each query reads its own lists, each in an
        access of its own, and its candidates' vectors, wherever they are.
        """
        vector_bytes = 4 * self.dim
        entries = sum(probe.num_entries for probe in probes)
        lists = sum(probe.num_read for probe in probes)
        operations = 2 * len(probes) * self.nlist * self.dim
        reads = [Demand(f"{tier}.read", self.nlist * vector_bytes)]
        if lists:
            reads.append(Demand(f"{tier}.read", entries * self._lists.entry_bytes, lists))
        if self.quantizer.codebooks is None:
            operations += 2 * sum(probe.num_wanted for probe in probes) * self.dim
        else:
            depth = self.depth(top_k)
            compared = sum(min(depth, probe.num_wanted) for probe in probes)
            tables = 2 * len(probes) * CODEWORDS * self.dim
            # An entry's score is a sum of m numbers of the query's table and its centroid's.
            operations += tables + entries * self.sizes.m + 2 * compared * self.dim
            if compared:
                reads.append(Demand(f"{tier}.read", compared * vector_bytes, compared))
        return Work("search", (Demand("compute.fp32", operations), *reads))

    def bytes_to_read(self, probes: list[Probe], top_k: int) -> int:
        """By all queries together."""
        return self.work(probes, top_k, "").amounts()[".read"]

    def add_work(self, num_rows: int, num_lists: int, tier: str) -> Work:
        """What filing so many passages under so many lists asks of a machine: an access a list.

        Where there are codes, vectors are kept beside the lists, in the order in which they came.
        """
        per_row = 2 * self.dim * (self.nlist + (CODEWORDS if self.sizes.m else 0))
        write = f"{tier}.write"
        writes = [Demand(write, num_rows * self._lists.entry_bytes, num_lists)]
        if self.sizes.m:
            writes.append(Demand(write, num_rows * 4 * self.dim))
        return Work("store_add", (Demand("compute.fp32", num_rows * per_row), *writes))

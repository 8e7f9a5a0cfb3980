"""Inverted lists: which passages are nearest to which centroid, in the order in which they came.

FlatLists say so alone: a list's vectors are compared whole. CodedLists hold a code of m bytes for
each, in FAISS.
"""

from array import array
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from workers.memory.index.quantizer import Quantizer

ID_BYTES = 8

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


class Lists(Protocol):
    """entry_bytes   of one passage in a list, its id included
    beside_bytes   the part of them that a shard without an index would not hold
    """

    entry_bytes: int
    beside_bytes: int

    def add(self, lists: Ids, ids: Ids, vectors: Vectors) -> None:
        """File passages ids [n] with vectors [n, dim] under lists [n]."""
        ...

    def remove(self, ids: range) -> None: ...

    def size(self, number: int) -> int: ...

    def ids(self, number: int) -> Ids:
        """A copy."""
        ...

    def best(
        self, query: Vectors, lists: Ids, scores: Vectors, depth: int, wanted: Any | None
    ) -> Ids:
        """Of these lists, whose centroids have these scores with the query [dim], the `depth`
        passages that seem best; only `wanted` ones ([any] int64), if given.
        """
        ...


class FlatLists:
    def __init__(self, quantizer: Quantizer) -> None:
        nlist, dim = quantizer.centroids.shape
        self.entry_bytes, self.beside_bytes = 4 * dim + ID_BYTES, 0
        self._ids = [array("q") for _ in range(nlist)]

    def add(self, lists: Ids, ids: Ids, vectors: Vectors) -> None:
        for number, passage_id in zip(lists.tolist(), ids.tolist(), strict=True):
            self._ids[number].append(passage_id)

    def remove(self, ids: range) -> None:
        for number, held in enumerate(self._ids):
            if any(passage_id in ids for passage_id in held):
                self._ids[number] = array("q", (one for one in held if one not in ids))

    def size(self, number: int) -> int:
        return len(self._ids[number])

    def ids(self, number: int) -> Ids:
        return np.array(self._ids[number], np.int64)

    def best(
        self, query: Vectors, lists: Ids, scores: Vectors, depth: int, wanted: Ids | None
    ) -> Ids:
        if wanted is not None:
            return wanted
        return np.concatenate([np.zeros(0, np.int64), *map(self.ids, lists.tolist())])


class CodedLists:
    def __init__(self, quantizer: Quantizer) -> None:
        assert quantizer.codebooks is not None
        library: Any = faiss  # its stubs know the C++ arguments alone
        nlist, dim = quantizer.centroids.shape
        m = len(quantizer.codebooks)
        self.entry_bytes = self.beside_bytes = m + ID_BYTES
        self._coarse = library.IndexFlatIP(dim)  # FAISS keeps no reference of its own
        self._coarse.add(quantizer.centroids)
        index = library.IndexIVFPQ(self._coarse, dim, nlist, m, 8, library.METRIC_INNER_PRODUCT)
        library.copy_array_to_vector(quantizer.codebooks.reshape(-1), index.pq.centroids)
        index.is_trained = True
        self._index: Any = index

    def add(self, lists: Ids, ids: Ids, vectors: Vectors) -> None:
        library: Any = faiss
        library.omp_set_num_threads(1)
        self._index.add_core(
            len(ids),
            library.swig_ptr(vectors),
            library.swig_ptr(ids),
            library.swig_ptr(lists),
        )

    def remove(self, ids: range) -> None:
        """The others stay in their order: FAISS's own way would move the last into the gap."""
        library: Any = faiss
        held = self._index.invlists
        for number in range(held.nlist):
            size = held.list_size(number)
            if not size:
                continue
            there = library.rev_swig_ptr(held.get_ids(number), size)
            keep = (there < ids.start) | (there >= ids.stop)
            if keep.all():
                continue
            codes = library.rev_swig_ptr(held.get_codes(number), size * held.code_size)
            codes = codes.reshape(size, held.code_size)
            count = int(keep.sum())
            there[:count], codes[:count] = there[keep], codes[keep]
            held.resize(number, count)
        self._index.ntotal = sum(map(self.size, range(held.nlist)))

    def size(self, number: int) -> int:
        return int(self._index.invlists.list_size(number))

    def ids(self, number: int) -> Ids:
        library: Any = faiss
        size = self.size(number)
        if not size:
            return np.zeros(0, np.int64)
        held = self._index.invlists.get_ids(number)
        return np.array(library.rev_swig_ptr(held, size), np.int64)

    def best(
        self, query: Vectors, lists: Ids, scores: Vectors, depth: int, wanted: Ids | None
    ) -> Ids:
        library: Any = faiss
        library.omp_set_num_threads(1)
        only = None if wanted is None else library.IDSelectorBatch(wanted)
        how = library.SearchParametersIVF(nprobe=len(lists), sel=only)
        near = np.empty(depth, np.float32)
        found = np.empty(depth, np.int64)
        given = (np.ascontiguousarray(one) for one in (query, lists, scores))
        asked, numbers, centroid_scores = given
        # The method itself: FAISS's wrapper takes no parameters.
        self._index.search_preassigned_c(
            1,
            library.swig_ptr(asked),
            depth,
            library.swig_ptr(numbers),
            library.swig_ptr(centroid_scores),
            library.swig_ptr(near),
            library.swig_ptr(found),
            False,
            how,
        )
        ids: Ids = found[found >= 0]
        return ids

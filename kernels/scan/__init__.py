"""Exact top-k inner products over a shard of vectors, each read once a call.

    shard = scan.Shard("int8", num_vectors, dim)
    shard.set(0, vectors_ND)
    ids_QK, scores_QK = scan.top_k(shard, queries_QD, k)

int8: a vector has one scale and so has a query; the dot products between them are exact.
Letters: N vectors, D their width, Q queries.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kernels.native import lib
from kernels.numbers import Floats
from kernels.scan import ref

# Vectors in a panel of the native layout: parts of a shard begin at multiples of it.
PANEL = 32


class Shard:
    """Room for `num_vectors` of `dim` channels, as fp32, bf16 or int8; zeros until they are set."""

    __slots__ = ("_handle", "_plain", "dim", "kind", "num_vectors")

    def __init__(self, kind: Literal["fp32", "bf16", "int8"], num_vectors: int, dim: int) -> None:
        if kind not in ("fp32", "bf16", "int8"):
            raise ValueError(f"kind is {kind!r}; a scan takes fp32, bf16 or int8")
        if num_vectors < 1 or dim < 1:
            raise ValueError(f"num_vectors is {num_vectors}, dim {dim}; both must be at least 1")
        self.kind, self.num_vectors, self.dim = kind, num_vectors, dim
        self._plain = ref.Shard(kind, num_vectors, [])
        self._handle = None if lib is None else lib.scan_create(kind, num_vectors, dim)
        if lib is None:
            ref.set_vectors(self._plain, 0, np.zeros((num_vectors, dim), dtype=np.float32))

    @property
    def num_bytes(self) -> int:
        """What a call reads."""
        if lib is not None:
            return int(lib.scan_bytes(self._handle))
        return self.num_vectors * self.dim * {"fp32": 4, "bf16": 2, "int8": 1}[self.kind]

    def set(self, first: int, vectors_ND: NDArray[Any]) -> None:
        """Store vectors first, first + 1, ..., float32 or bf16 as uint16.

        They begin at a multiple of PANEL, and end at one or with the shard, else ValueError.
        """
        if lib is not None:
            lib.scan_set(self._handle, first, vectors_ND)
            return
        end = first + len(vectors_ND)
        if first % PANEL or end > self.num_vectors or (end % PANEL and end != self.num_vectors):
            raise ValueError(
                f"vectors {first} to {end} of {self.num_vectors}: they must begin and end at "
                f"multiples of {PANEL}, or end with the shard"
            )
        ref.set_vectors(self._plain, first, vectors_ND)

    def run(self, queries_QD: Floats, ids_QK: NDArray[np.int64], scores_QK: Floats) -> None:
        if lib is not None:
            lib.scan_top_k(self._handle, queries_QD, ids_QK, scores_QK)
            return
        if queries_QD.ndim != 2 or queries_QD.shape[1] != self.dim:
            raise ValueError(
                f"queries_QD has shape {queries_QD.shape}; dimension 1 must be {self.dim}"
            )
        ids_QK[...], scores_QK[...] = ref.top_k(self._plain, queries_QD, ids_QK.shape[1])


def top_k(shard: Shard, queries_QD: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    """Ids and scores [Q, k] of the largest inner products: highest first, then lowest id.

    queries_QD is float32 [Q, D]. Where fewer than k have a score above -infinity (NaN is not), the
    rest is id -1, score -infinity. Raises ValueError where a shape does not fit or k is below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    ids = np.empty((len(queries_QD), k), dtype=np.int64)
    scores = np.empty((len(queries_QD), k), dtype=np.float32)
    shard.run(queries_QD, ids, scores)
    return ids, scores

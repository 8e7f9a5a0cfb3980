"""What an inverted-file index learns: centroids, and codebooks of what is left of a vector without
its centroid (Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", 2011).

Training is k-means in FAISS, on one thread and from a fixed seed: the same vectors give the same
bits on the same machine.
"""

import struct
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from workers.hardware.work import Demand, Work
from workers.memory.index.choice import CODEWORDS, Sizes

SEED = 20_250
ITERATIONS = 10
# FAISS's own bound is 256; more points move no centroid by much. ASSUMED.
POINTS_PER_CENTROID_MAX = 64

Vectors = NDArray[np.float32]
_HEAD = struct.Struct("<QIII")


@dataclass(frozen=True)
class Quantizer:
    """centroids   [nlist, dim] float32, each of length 1 or 0
    codebooks   [m, CODEWORDS, dim / m] float32; None where lists hold whole vectors
    num_rows    passages that the shard had when it was trained
    """

    centroids: Vectors
    codebooks: Vectors | None
    num_rows: int

    def pack(self) -> bytes:
        """u64 rows | u32 nlist | u32 dim | u32 m | centroids | codebooks, little-endian."""
        m = 0 if self.codebooks is None else len(self.codebooks)
        head = _HEAD.pack(self.num_rows, *self.centroids.shape, m)
        books = b"" if self.codebooks is None else self.codebooks.astype("<f4").tobytes()
        return head + self.centroids.astype("<f4").tobytes() + books

    @classmethod
    def unpack(cls, data: bytes, dim: int) -> "Quantizer":
        """Raises ValueError or struct.error for what `pack` never says of vectors of `dim`."""
        num_rows, nlist, said_dim, m = _HEAD.unpack_from(data)
        counts = nlist * dim, CODEWORDS * dim if m else 0
        if said_dim != dim or not nlist or (m and dim % m):
            raise ValueError(f"a quantiser of {nlist} lists, {said_dim} values and m {m}")
        if len(data) != _HEAD.size + 4 * sum(counts):
            raise ValueError(f"{len(data)} bytes are no quantiser of {nlist} lists and m {m}")
        values = np.frombuffer(data, "<f4", offset=_HEAD.size).astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("a quantiser holds NaN or infinity")
        centroids = values[: counts[0]].reshape(nlist, dim)
        books = values[counts[0] :].reshape(m, CODEWORDS, dim // m) if m else None
        return cls(centroids, books, num_rows)


def rows_to_train(sizes: Sizes) -> int:
    """Vectors that `train` looks at, if there are so many."""
    return POINTS_PER_CENTROID_MAX * max(sizes.nlist, CODEWORDS if sizes.m else 0)


def train(sample: Vectors, sizes: Sizes, num_rows: int) -> Quantizer:
    """Learn from `sample` [n, dim], n >= nlist (and CODEWORDS, where there are codes), which stands
    for num_rows vectors.
    """
    library: Any = faiss  # its stubs know the C++ arguments alone
    library.omp_set_num_threads(1)
    sample = np.ascontiguousarray(sample, np.float32)
    dim = sample.shape[1]
    clustering = library.Clustering(dim, sizes.nlist)
    _settle(clustering)
    # Products are compared: a longer centroid must not attract more.
    clustering.spherical = True
    coarse = library.IndexFlatIP(dim)
    clustering.train(sample, coarse)
    centroids: Vectors = coarse.reconstruct_n(0, sizes.nlist)
    if not sizes.m:
        return Quantizer(centroids, None, num_rows)
    _, nearest = coarse.search(sample, 1)
    codes = library.ProductQuantizer(dim, sizes.m, 8)
    _settle(codes.cp)
    codes.train(sample - centroids[nearest[:, 0]])
    books = library.vector_to_array(codes.centroids)
    return Quantizer(centroids, books.reshape(sizes.m, CODEWORDS, dim // sizes.m), num_rows)


def _settle(parameters: Any) -> None:
    parameters.seed, parameters.niter = SEED, ITERATIONS
    parameters.max_points_per_centroid = POINTS_PER_CENTROID_MAX
    parameters.min_points_per_centroid = 1  # how few may be is decided in `choice`


def train_work(sizes: Sizes, num_rows: int, dim: int, tier: str) -> Work:
    """What training and filling the lists with num_rows vectors ask of a machine: each turn of
    k-means reads its sample once, each vector is read once to be filed, and its entry written.
    """
    turns, sample = ITERATIONS, min(num_rows, rows_to_train(sizes))
    coded = min(num_rows, POINTS_PER_CENTROID_MAX * CODEWORDS) if sizes.m else 0
    per_row = sizes.nlist + (CODEWORDS if sizes.m else 0)
    pairs = turns * (sample * sizes.nlist + coded * CODEWORDS) + num_rows * per_row
    vector_bytes = 4 * dim
    read = (turns * (sample + coded) + num_rows) * vector_bytes
    entry_bytes = (sizes.m or vector_bytes) + 8
    written = num_rows * entry_bytes + (sizes.nlist + (CODEWORDS if sizes.m else 0)) * vector_bytes
    demands = (
        Demand("compute.fp32", 2 * pairs * dim),
        Demand(f"{tier}.read", read),
        Demand(f"{tier}.write", written, accesses=sizes.nlist),
    )
    return Work("index_train", demands)

"""Vectors that lie as embeddings do: in clusters of unlike sizes, each of few dimensions.

    vector = unit(centre of its cluster + SPREAD * unit(G * its own normal numbers))

centre      uniform on the sphere; cluster c of C is drawn with a probability like 1 / sqrt(1 + c)
G           [inner, dim], one for all clusters, its rows shrinking as 1 / sqrt(1 + row): an inner
            dimension of some tens, as measured of text embeddings. ASSUMED
queries     drawn as the vectors are, from the same clusters, but none of them is a vector
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLUSTERS, INNER_DIM, SPREAD = 2_000, 64, 0.8
CHUNK = 1 << 14

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clustered:
    """A distribution of vectors of length 1."""

    centres: Vectors  # [clusters, dim]
    directions: Vectors  # [inner, dim]
    shares: NDArray[np.float64]  # [clusters], sum 1

    def draw(self, count: int, seed: int) -> Iterator[Vectors]:
        """`count` vectors [n, dim], some thousand at a time: the same for the same seed."""
        rng = np.random.default_rng(seed)
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            cluster = rng.choice(len(self.shares), size, p=self.shares)
            own = rng.standard_normal((size, len(self.directions)), np.float32) @ self.directions
            yield unit(self.centres[cluster] + np.float32(SPREAD) * unit(own))


def unit(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def clustered(dim: int, seed: int, clusters: int = CLUSTERS) -> Clustered:
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((clusters, dim), np.float32))
    shrink = 1 / np.sqrt(1 + np.arange(INNER_DIM, dtype=np.float32))
    directions: Vectors = rng.standard_normal((INNER_DIM, dim), np.float32)
    directions *= shrink[:, None]
    weights = 1 / np.sqrt(1 + np.arange(clusters, dtype=np.float64))
    return Clustered(centres, directions, weights / weights.sum())

"""Small vectors whose clusters are known: a shard of them, with an index."""

import numpy as np

from workers.memory.index.choice import IndexChoice
from workers.memory.index.quantizer import Quantizer
from workers.memory.shard import RetrievalShard

DIM = 8


def clustered(count: int, seed: int = 0, clusters: int = 8) -> np.ndarray:
    """[count, DIM] float32; vector i lies about axis i mod clusters."""
    rng = np.random.default_rng(seed)
    vectors = 0.2 * rng.standard_normal((count, DIM))
    vectors[np.arange(count), np.arange(count) % clusters] += 1
    return vectors.astype(np.float32)


def filled(vectors: np.ndarray, choice: IndexChoice) -> RetrievalShard:
    """Passage i is vector i; the index is not trained yet."""
    shard = RetrievalShard(vectors.shape[1], choice)
    shard.add(range(len(vectors)), vectors, [f"passage {i}" for i in range(len(vectors))])
    return shard


def indexed(vectors: np.ndarray, choice: IndexChoice) -> RetrievalShard:
    shard = filled(vectors, choice)
    shard.use(shard.train())
    return shard


def on_axes(count: int, choice: IndexChoice) -> RetrievalShard:
    """Passage i is the unit vector of axis i mod DIM, and each axis has a list; codes say
    nothing.
    """
    axes = np.eye(DIM, dtype=np.float32)
    shard = filled(axes[np.arange(count) % DIM], choice)
    books = np.zeros((choice.m, 256, DIM // choice.m), np.float32) if choice.m else None
    shard.use(Quantizer(axes, books, count))
    return shard

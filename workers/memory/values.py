"""Which vectors have inner products that stand in an order. Pure."""

import numpy as np
from numpy.typing import NDArray

# No sum of products may be larger: a third of fp32's range, for roundings on the way.
SCORE_MAX = 1e38

Vectors = NDArray[np.float32]


def check_values(name: str, vectors: Vectors) -> None:
    """Products of what passes, [n, dim], are finite, and so are their sums: one passage's numbers
    decide nothing about the others'. Raises ValueError.
    """
    dim = vectors.shape[1]
    most = float(np.sqrt(SCORE_MAX / dim))
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} hold NaN or infinity: scores would have no order")
    if vectors.size and float(np.abs(vectors).max()) > most:
        raise ValueError(
            f"{name} hold {np.abs(vectors).max():.3g}: values of {dim} must be at most "
            f"{most:.3g}, else scores are infinite and have no order"
        )


def check_queries(queries: Vectors, dim: int, top_k: int) -> None:
    """Raises ValueError on a wrong shape, on values that are not finite, or if top_k < 1."""
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise ValueError(f"queries have shape {queries.shape}: it must be (q, {dim})")
    check_values("queries", queries)
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}: it must be at least 1")

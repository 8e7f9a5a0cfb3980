"""Exact top-k in numpy: what the native code must agree with, and what runs without it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.numbers import Floats, Matrix, from_bf16, int8_rows, matrix, to_bf16


@dataclass
class Shard:
    """Vectors as they were given, part by part: (first id, matrix)."""

    kind: str
    vectors: int
    parts: list[tuple[int, Matrix]]


def set_vectors(shard: Shard, first: int, vectors_ND: NDArray[Any]) -> None:
    shard.parts.append((first, matrix(vectors_ND, shard.kind, "vectors_ND")))


def scores(shard: Shard, queries_QD: Floats) -> Floats:
    """[Q, N] float32. int8: the query has one scale, dots are whole numbers."""
    out = np.full((len(queries_QD), shard.vectors), -np.inf, dtype=np.float32)
    for first, part in shard.parts:
        at = slice(first, first + part.shape[0])
        if shard.kind == "int8":
            codes, scales = int8_rows(queries_QD, part.shape[1])
            dots = codes[:, 0].astype(np.int64) @ part.values[:, 0].astype(np.int64).T
            out[:, at] = dots.astype(np.float32) * scales * part.scales[:, 0]
        else:
            queries = from_bf16(to_bf16(queries_QD)) if shard.kind == "bf16" else queries_QD
            with np.errstate(invalid="ignore"):
                out[:, at] = queries.astype(np.float64) @ part.floats().astype(np.float64).T
    return out


def top_k(shard: Shard, queries_QD: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    """Ids and scores [Q, k]: highest score first, then lowest id; never NaN or -infinity."""
    ids = np.full((len(queries_QD), k), -1, dtype=np.int64)
    best = np.full((len(queries_QD), k), -np.inf, dtype=np.float32)
    for row, found in enumerate(scores(shard, queries_QD)):
        usable = np.nonzero(found > -np.inf)[0]
        order = usable[np.argsort(-found[usable], kind="stable")][:k]
        ids[row, : len(order)] = order
        best[row, : len(order)] = found[order]
    return ids, best

"""What `kernels.exchange` computes, in numpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.numbers import Floats, from_bf16, quiet

NOBODY = -1

Spread = tuple[
    NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64], NDArray[np.int32],
    NDArray[np.float32], NDArray[Any], NDArray[np.int64],
]  # fmt: skip


def spread(
    owners_E: NDArray[np.int32],
    num_shards: int,
    requests_T: NDArray[np.uint64],
    positions_T: NDArray[np.int64],
    experts_TK: NDArray[np.int32],
    weights_TK: NDArray[np.float32],
    hidden_TH: NDArray[Any],
) -> Spread:
    num_experts = len(owners_E) - 1
    if strange := experts_TK[(experts_TK < NOBODY) | (experts_TK >= num_experts)].tolist():
        raise ValueError(f"experts_TK names expert {strange[0]}; there are {num_experts}")
    shard_TK = owners_E[experts_TK]
    # NOBODY, as an index, is the row behind the last shard's.
    here_ST = np.zeros((num_shards + 1, len(shard_TK)), dtype=np.bool_)
    here_ST[shard_TK, np.arange(len(shard_TK))[:, None]] = True
    shard_N, rows_N = np.nonzero(here_ST[:-1])
    here_NK = shard_TK[rows_N] == shard_N[:, None]
    ends_S = np.searchsorted(shard_N, np.arange(num_shards), side="right")
    return (
        rows_N,
        requests_T[rows_N],
        positions_T[rows_N],
        np.where(here_NK, experts_TK[rows_N], np.int32(NOBODY)),
        weights_TK[rows_N],
        hidden_TH[rows_N],
        ends_S,
    )


@quiet
def add(sums_TH: NDArray[np.float64], rows_N: NDArray[np.int64], partial_NH: NDArray[Any]) -> None:
    if partial_NH.dtype == np.uint16:
        partial_NH = from_bf16(partial_NH)
    np.add.at(sums_TH, rows_N, partial_NH)


@quiet
def merge(x_TH: Floats, sums_TH: NDArray[Any]) -> None:
    if sums_TH.shape != x_TH.shape:
        raise ValueError(f"sums_TH has shape {sums_TH.shape}; it must be {x_TH.shape}")
    x_TH[...] = x_TH.astype(np.float64) + sums_TH

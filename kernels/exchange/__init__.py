"""Tokens spread over the shards that own their experts, and partial sums merged again.

    rows_N, *columns_N, ends_S = exchange.spread(owners_E, num_shards, requests_T, ..., hidden_TH)
    exchange.add(sums_TH, rows_N[:ends_S[0]], partial_NH)      # what the first shard answered
    exchange.merge(x_TH, sums_TH)                              # the residual goes on

Letters: T tokens, K experts a token, E experts, S shards, H hidden, N rows that travel: one for
each token and shard that owns one of its experts, shard by shard, tokens in order.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.exchange import ref
from kernels.native import lib
from kernels.numbers import Floats

# float32, bf16 as uint16, and bytes: as `kernels.codec` has rows on a wire.
WIRES = tuple(map(np.dtype, (np.float32, np.uint16, np.uint8)))


def spread(
    owners_E: NDArray[np.int32],
    num_shards: int,
    requests_T: NDArray[np.uint64],
    positions_T: NDArray[np.int64],
    experts_TK: NDArray[np.int32],
    weights_TK: NDArray[np.float32],
    hidden_TH: NDArray[Any],
) -> ref.Spread:
    """The columns of all rows, and where each shard's end: rows [N] (which token), requests [N],
    positions [N], experts [N, K], weights [N, K], hidden [N, H], ends [S].

    owners_E   [E + 1] index of the shard that owns each expert, and at the end that of NOBODY
               (-1): none, which is -1 again

    In a row, an expert that another shard owns is nobody, so that each contributes once. Raises
    ValueError on an expert that is not there.
    """
    if lib is None or hidden_TH.ndim != 2 or hidden_TH.dtype not in WIRES:
        return ref.spread(
            owners_E, num_shards, requests_T, positions_T, experts_TK, weights_TK, hidden_TH
        )
    tokens, each = experts_TK.shape
    room = tokens * min(each, num_shards)
    ends_S = np.empty(num_shards, np.int64)
    rows_N = np.empty(room, np.int64)
    requests_N, positions_N = np.empty(room, np.uint64), np.empty(room, np.int64)
    experts_NK = np.empty((room, each), np.int32)
    weights_NK = np.empty((room, each), np.float32)
    hidden_NH = np.empty((room, hidden_TH.shape[1]), hidden_TH.dtype)
    count = lib.exchange_spread(
        owners_E, ends_S, requests_T, positions_T, experts_TK, weights_TK, hidden_TH,
        rows_N, requests_N, positions_N, experts_NK, weights_NK, hidden_NH,
    )  # fmt: skip
    if count == room:
        return rows_N, requests_N, positions_N, experts_NK, weights_NK, hidden_NH, ends_S
    return (
        rows_N[:count], requests_N[:count], positions_N[:count], experts_NK[:count],
        weights_NK[:count], hidden_NH[:count], ends_S,
    )  # fmt: skip


def add(sums_TH: NDArray[np.float64], rows_N: NDArray[np.int64], partial_NH: NDArray[Any]) -> None:
    """Add partial sums [N, H], float32, float64 or bf16 as uint16, to those of their rows, in
    place.

    A row that is named twice has both. Raises ValueError on a row that is not there.
    """
    if lib is None:
        ref.add(sums_TH, rows_N, partial_NH)
    else:
        lib.exchange_add(sums_TH, rows_N, partial_NH)


def merge(x_TH: Floats, sums_TH: NDArray[Any]) -> None:
    """Add all experts' sums, float32 or float64, to the residual x_TH (float32, C-contiguous) in
    place: one rounding. Raises ValueError on another shape.
    """
    if lib is None:
        ref.merge(x_TH, sums_TH)
    else:
        lib.exchange_merge(x_TH, sums_TH)

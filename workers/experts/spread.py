"""Tokens spread over the shards that hold their experts, and partial sums merged again.

Letters: T tokens, K experts a token, S shards, N rows that travel: one for each token and shard
that holds one of its experts, shard by shard, tokens in order.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.experts.routing import NOBODY, RoutingTable
from workers.model.numerics import Numerics
from workers.model.parts.rows import quiet
from workers.model.program import Rows, Sums
from workers.wire.kinds.experts import Dispatch

# Up to so many partial sums are added one after the other: finding out more costs more.
ONE_BY_ONE_MAX = 6


class Spread:
    """The rows of one dispatch, gathered once for all shards: each has a run of them, in views."""

    __slots__ = ("_ends", "_experts_NK", "_hidden_N", "_positions_N", "_requests_N", "_weights_NK",
                 "rows_N")  # fmt: skip

    def __init__(
        self,
        table: RoutingTable,
        requests_T: NDArray[np.uint64],
        positions_T: NDArray[np.int64],
        hidden_T: Rows,
        experts_TK: NDArray[np.int32],
        weights_TK: NDArray[np.float32],
    ) -> None:
        shard_TK = table.owners(experts_TK)
        # NOBODY, as an index, is the row behind the last shard's.
        here_ST = np.zeros((len(table.shards) + 1, len(shard_TK)), dtype=np.bool_)
        here_ST[shard_TK, np.arange(len(shard_TK))[:, None]] = True
        shard_N, rows_N = np.nonzero(here_ST[:-1])
        self.rows_N = rows_N
        self._requests_N, self._positions_N = requests_T[rows_N], positions_T[rows_N]
        self._hidden_N, self._weights_NK = hidden_T[rows_N], weights_TK[rows_N]
        # An expert that lives elsewhere is nobody here, so that each contributes exactly once.
        here_NK = shard_TK[rows_N] == shard_N[:, None]
        self._experts_NK = np.where(here_NK, experts_TK[rows_N], np.int32(NOBODY))
        for array in (
            self._requests_N, self._positions_N, self._hidden_N, self._weights_NK,
            self._experts_NK,
        ):  # fmt: skip
            array.flags.writeable = False  # and so are the views that travel
        self._ends = np.searchsorted(shard_N, np.arange(len(table.shards)), side="right").tolist()

    def runs(self) -> Iterator[tuple[int, slice]]:
        """(shard's index, its rows) of each shard that has any."""
        start = 0
        for index, end in enumerate(self._ends):
            if end > start:
                yield index, slice(start, end)
            start = end

    def dispatch(self, layer: int, run: slice) -> Dispatch:
        """What one shard is told."""
        return Dispatch(
            layer,
            self._requests_N[run],
            self._positions_N[run],
            self._experts_NK[run],
            self._weights_NK[run],
            self._hidden_N[run],
        )


@quiet
def merge(
    numerics: Numerics,
    sums_T: Sums,
    rows: Sequence[NDArray[np.intp]],
    partials: Sequence[Sums],
) -> None:
    """Add each shard's partial sums to those of its rows, in the order given: a token's first
    share, then its second, whoever they are from.

    Where all tokens have as many shares, the first of all are added at once, then the second: the
    bits are those of one addition after the other.
    """
    if len(partials) > ONE_BY_ONE_MAX:
        rows_N = np.concatenate(rows)
        num_shares, rest = divmod(len(rows_N), len(sums_T))
        counts = np.bincount(rows_N, minlength=len(sums_T))
        if not rest and counts.min() == num_shares:
            # Token by token, each one's shares in their order.
            order = np.argsort(rows_N, kind="stable").reshape(-1, num_shares)
            partials_N = np.concatenate(partials)
            for share in range(num_shares):
                numerics.add(sums_T, slice(None), partials_N[order[:, share]])
            return
    for rows_t, partial in zip(rows, partials, strict=True):
        numerics.add(sums_T, rows_t, partial)

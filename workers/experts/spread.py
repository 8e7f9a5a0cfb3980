"""Tokens spread over the shards that hold their experts, and partial sums merged again.

Letters: T tokens, K experts a token, S shards, N rows that travel: one for each token and shard
that holds one of its experts, shard by shard, tokens in order.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kernels import exchange
from workers.experts.routing import RoutingTable
from workers.hardware.energy.phase import Cause, Phase
from workers.model.numerics import Numerics
from workers.model.program import Rows, Sums
from workers.wire.kinds.experts import Dispatch, Gather


def owners_of(
    table: RoutingTable,
    requests_T: NDArray[np.uint64],
    positions_T: NDArray[np.int64],
    experts_TK: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Index of the shard that each token asks for each of its experts, [T, K]; NOBODY."""
    if table.copies is None:
        owners_TK: NDArray[np.int32] = table.owners_E[experts_TK]
    else:
        slots_TK = table.copies.slots(requests_T, positions_T, experts_TK)
        owners_TK = table.copies.owners_P[slots_TK]
    return owners_TK


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
        copies, owners = table.copies, table.owners_E
        if copies is not None:
            experts_TK = copies.slots(requests_T, positions_T, experts_TK)
            owners = copies.owners_P
        (
            self.rows_N, self._requests_N, self._positions_N, self._experts_NK, self._weights_NK,
            self._hidden_N, ends_S,
        ) = columns = exchange.spread(
            owners, len(table.shards), requests_T, positions_T, experts_TK, weights_TK,
            hidden_T,
        )  # fmt: skip
        if copies is not None:
            self._experts_NK = copies.experts_P[self._experts_NK]
            self._experts_NK.flags.writeable = False
        for column in columns:
            column.flags.writeable = False  # and so are the views that travel
        self._ends = ends_S.tolist()

    def runs(self) -> Iterator[tuple[int, slice]]:
        """(shard's index, its rows) of each shard that has any."""
        start = 0
        for index, end in enumerate(self._ends):
            if end > start:
                yield index, slice(start, end)
            start = end

    def dispatch(
        self,
        layer: int,
        run: slice,
        cause: Cause = Phase.SERVING,
        gather: Gather | None = None,
    ) -> Dispatch:
        """What one shard is told."""
        return Dispatch(
            layer,
            self._requests_N[run],
            self._positions_N[run],
            self._experts_NK[run],
            self._weights_NK[run],
            self._hidden_N[run],
            cause,
            gather,
        )


def spread_again(
    table: RoutingTable, told: Dispatch
) -> Iterator[tuple[str, NDArray[np.intp], Dispatch]]:
    """What one shard was told, spread by another table: each shard, its rows of that, and what it
    is told of them.
    """
    columns = told.request, told.position, told.hidden, told.experts, told.weights
    spread = Spread(table, *columns)
    for index, run in spread.runs():
        content = spread.dispatch(told.layer, run, told.computed_for)
        yield table.shards[index], spread.rows_N[run], content


def merge(
    numerics: Numerics,
    sums_T: Sums,
    rows: Sequence[NDArray[np.intp]],
    partials: Sequence[Sums],
) -> None:
    """Add each shard's partial sums to those of its rows, in the order given: a token's first
    share, then its second, whoever they are from.
    """
    for rows_t, partial in zip(rows, partials, strict=True):
        numerics.add(sums_T, rows_t, partial)

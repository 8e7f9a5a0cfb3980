"""Tokens that are away at their experts, as the chip that sent them knows it."""

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.errors import PeerDead, PerfuseError
from workers.experts.adding import Adding
from workers.experts.routing import RoutingTable
from workers.experts.tokens import Missing
from workers.model.program import Sums
from workers.wire.calls import Pending
from workers.wire.kinds.experts import Combine, Dispatch


class Away(Protocol):
    """Tokens that are away."""

    def abandon(self) -> None:
        """Nobody will receive these."""
        ...


class Lost(NamedTuple):
    """What a shard was asked, or was to be, that is gone."""

    shard: str
    rows: NDArray[np.intp]
    content: Dispatch
    deadline_ns: int
    request_id: str
    error: PerfuseError


@dataclass(slots=True)
class DispatchHandle:
    """Which rows went to which shard, and which could not be sent.

    table      by which they went, where experts have copies; None: nobody else can be asked
    unsent     for shards that were gone by then, where there is a table
    instead    asked for somebody else's part: why that one does not answer
    """

    sums_TH: Sums
    shards: list[str] = field(default_factory=list)
    rows_by_shard: list[NDArray[np.intp]] = field(default_factory=list)
    pending: list[Pending[Combine]] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    adding: Adding | None = None
    table: RoutingTable | None = None
    unsent: list[Lost] = field(default_factory=list)
    instead: dict[Pending[Combine], PerfuseError] = field(default_factory=dict)

    def await_sums_of(self, shard: str, rows: NDArray[np.intp], pending: Pending[Combine]) -> None:
        """A shard was asked."""
        self.shards.append(shard)
        self.rows_by_shard.append(rows)
        self.pending.append(pending)
        if self.adding is not None:
            pending.heard = partial(self.adding.came, rows, pending)

    def not_sent(self, lost: Lost) -> None:
        """A shard could not be asked."""
        if self.table is not None and isinstance(lost.error, PeerDead):
            self.unsent.append(lost)
        else:
            self.missing.append(Missing(lost.shard, lost.rows, lost.error))

    def take_lost(self) -> list[Lost]:
        """All that shards have that are gone: it is nobody's from now on."""
        lost, self.unsent = self.unsent, []
        asked = list(zip(self.shards, self.rows_by_shard, self.pending, strict=True))
        kept = [one for one in asked if not isinstance(one[2].answer, PeerDead)]
        if len(kept) < len(asked):
            for shard, rows, pending in asked:
                if isinstance(pending.answer, PeerDead):
                    call, error = pending.message, self.instead.pop(pending, pending.answer)
                    told = call.content, call.deadline_ns, call.request_id
                    lost.append(Lost(shard, rows, *told, error))
                    pending.abandon()
            self.shards = [shard for shard, _, _ in kept]
            self.rows_by_shard = [rows for _, rows, _ in kept]
            self.pending = [pending for _, _, pending in kept]
        return lost

    def in_order(self, shards: tuple[str, ...]) -> None:
        """Sums merge in the order of the shards, whoever was asked last."""
        places = {shard: place for place, shard in enumerate(shards)}
        asked = list(zip(self.shards, self.rows_by_shard, self.pending, strict=True))
        asked.sort(key=lambda one: places[one[0]])
        self.shards = [shard for shard, _, _ in asked]
        self.rows_by_shard = [rows for _, rows, _ in asked]
        self.pending = [pending for _, _, pending in asked]

    def abandon(self) -> None:
        """Nobody will receive these."""
        for pending in self.pending:
            pending.abandon()

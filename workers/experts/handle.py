"""Tokens that are away at their experts, as the chip that sent them knows it."""

from collections.abc import Sequence
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
from workers.wire.kind import Failed
from workers.wire.kinds.experts import Combine, Dispatch
from workers.wire.message import Message


class Away(Protocol):
    """Tokens that are away."""

    def abandon(self) -> None:
        """Nobody will receive these."""
        ...


class Asked(NamedTuple):
    """One shard's part of a dispatch, and the call that asks for it, of it or somebody else."""

    shard: str
    rows: NDArray[np.intp]
    pending: Pending[Combine]


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

    order      of shards, in which their sums merge, whoever was asked last
    table      by which they went, where experts have copies; None: nobody else can be asked
    unsent     for shards that were gone by then
    beside     a part that is open, by its call -> others that were asked for all of it, too
    instead    asked for somebody else's part: why that one does not answer
    """

    sums_TH: Sums
    order: tuple[str, ...]
    shards: list[str] = field(default_factory=list)
    rows_by_shard: list[NDArray[np.intp]] = field(default_factory=list)
    pending: list[Pending[Combine]] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    adding: Adding | None = None
    table: RoutingTable | None = None
    unsent: list[Lost] = field(default_factory=list)
    instead: dict[Pending[Combine], PerfuseError] = field(default_factory=dict)
    beside: dict[Pending[Combine], list[Asked]] = field(default_factory=dict)

    def await_sums_of(self, shard: str, rows: NDArray[np.intp], pending: Pending[Combine]) -> None:
        """A shard was asked."""
        self.shards.append(shard)
        self.rows_by_shard.append(rows)
        self.pending.append(pending)
        if self.adding is not None:
            pending.heard = partial(self.adding.came, rows, pending)

    def not_sent(self, lost: Lost) -> None:
        """A shard could not be asked."""
        if isinstance(lost.error, PeerDead):
            self.unsent.append(lost)
        else:
            self.missing.append(Missing(lost.shard, lost.rows, lost.error))

    def all_pending(self) -> list[Pending[Combine]]:
        """Whoever was asked, for anything."""
        if not self.beside:
            return self.pending
        return [*self.pending, *(one.pending for many in self.beside.values() for one in many)]

    def parts(self) -> list[Asked]:
        return [*map(Asked, self.shards, self.rows_by_shard, self.pending)]

    def open_parts(self) -> list[Asked]:
        """Those that have no answer."""
        return [one for one in self.parts() if one.pending.answer is None]

    def ask_beside(self, first: Pending[Combine], asked: list[Asked]) -> None:
        """Others were asked for the same as well."""
        self.beside[first] = asked
        if self.adding is not None:
            for _, rows, pending in asked:
                pending.heard = partial(self.adding.came, rows, pending)

    def drop_beside(self, first: Pending[Combine]) -> None:
        for one in self.beside.pop(first, ()):
            one.pending.abandon()

    def is_settled(self) -> bool:
        """Whether each part has an answer, by whomever, or nobody is left who could give one."""
        if not self.beside:
            return all(pending.answer is not None for pending in self.pending)
        return all(map(self._has_settled, self.pending))

    def _has_settled(self, first: Pending[Combine]) -> bool:
        """A part that failed has failed for good once one of those asked beside has, too."""
        beside = [one.pending for one in self.beside.get(first, ())]
        if not beside or _is_good(first):
            return first.answer is not None
        has_failed = any(p.answer is not None and not _is_good(p) for p in beside)
        return all(map(_is_good, beside)) or (first.answer is not None and has_failed)

    def decide(self) -> None:
        """The first answer counts: whoever else was asked for the same is nobody's any more."""
        if not self.beside:
            return
        parts = list[Asked]()
        for first in self.parts():
            beside = self.beside.get(first.pending, [])
            if not beside or _is_good(first.pending):
                parts.append(first)
                self.drop_beside(first.pending)
            elif all(one.pending.answer is not None for one in beside):
                parts += beside
                first.pending.abandon()
                del self.beside[first.pending]
            else:
                parts.append(first)
                self.drop_beside(first.pending)
        self._become(parts)
        self.in_order()

    def _become(self, parts: Sequence[Asked]) -> None:
        self.shards = [one.shard for one in parts]
        self.rows_by_shard = [one.rows for one in parts]
        self.pending = [one.pending for one in parts]

    def give_up_unsent(self) -> None:
        """Nobody could be asked."""
        self.missing.extend(Missing(one.shard, one.rows, one.error) for one in self.unsent)
        self.unsent.clear()

    def take_lost(self) -> list[Lost]:
        """All that shards have that are gone: it is nobody's from now on."""
        lost, self.unsent = self.unsent, []
        asked, kept = self.parts(), list[Asked]()
        for one in asked:
            shard, rows, pending = one
            if not isinstance(pending.answer, PeerDead):
                kept.append(one)
                continue
            call, error = pending.message, self.instead.pop(pending, pending.answer)
            told = call.content, call.deadline_ns, call.request_id
            lost.append(Lost(shard, rows, *told, error))
            pending.abandon()
        if len(kept) < len(asked):
            self._become(kept)
        return lost

    def in_order(self) -> None:
        places = {shard: place for place, shard in enumerate(self.order)}
        self._become(sorted(self.parts(), key=lambda one: places[one.shard]))

    def abandon(self) -> None:
        """Nobody will receive these."""
        for pending in self.all_pending():
            pending.abandon()


def _is_good(pending: Pending[Combine]) -> bool:
    """Whether it was answered with sums."""
    return isinstance(pending.answer, Message) and not isinstance(pending.answer.content, Failed)

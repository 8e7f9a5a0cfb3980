"""How a chip waits for its shards: whom it asks beside one that says nothing, or is slow.

    dispatched ───────────── S/2 ──────────── S
                       is it there?     silent: its spare, or copies of its experts, are asked
    ──── hedge x usual ──▶ a spare or copies are asked as well

S is `silence_ns`, or half of what a call may take where that is less. Whoever answers first counts,
and what the other says is nobody's: an answer belongs to a call, and a call that was given up has
none. A shard that alone has some of the experts asked for is waited for until the call's deadline.
"""

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from workers.errors import DeadlineExceeded, PerfuseError
from workers.experts.handle import Asked, DispatchHandle
from workers.experts.patience import Patience, Usual
from workers.experts.spread import spread_again
from workers.experts.stand_ins import StandIns
from workers.host.clock.base import Clock
from workers.wire.calls import Pending
from workers.wire.endpoint import Spawn
from workers.wire.kinds.experts import Combine, Dispatch
from workers.wire.message import Message
from workers.wire.port import Port
from workers.wire.watch import Watch


@dataclass(slots=True)
class _Looks:
    """When to look after open dispatches next, and every how long for who is there. `asked`: how
    often whoever was asked had been heard.
    """

    hedge_ns: int | None = None
    ask_ns: int | None = None
    step_ns: int = 0
    asked: dict[str, int] = field(default_factory=dict)

    @property
    def next_ns(self) -> int | None:
        return min((at for at in (self.hedge_ns, self.ask_ns) if at is not None), default=None)


class Answers:
    """num_silent, num_hedged   dispatches that others were asked for, for either reason"""

    def __init__(
        self, port: Port, clock: Clock, spawn: Spawn, stand_ins: StandIns, patience: Patience
    ) -> None:
        self._port, self._clock, self._stand_ins = port, clock, stand_ins
        self._hedge, silence_ns = patience.hedge, patience.silence_ns
        self._watch: Watch | None = None
        if silence_ns is not None:
            self._watch = Watch(port, clock, spawn, silence_ns, stand_ins.was_heard)
        self._usual = Usual()
        self.num_silent = self.num_hedged = 0

    @property
    def hedges(self) -> bool:
        return self._hedge is not None

    @property
    def figures(self) -> dict[str, int]:
        may_ask = self._watch is not None and (self._stand_ins.has_any or self.num_silent)
        figures = {"silent_asked": self.num_silent} if may_ask else {}
        return figures if self._hedge is None else {**figures, "hedged": self.num_hedged}

    def ask_silent(self, until_ns: int) -> None:
        """There is something to dispatch, which may take until then: are they back?"""
        if self._watch is not None:
            for worker in self._stand_ins.silent:
                self._watch.ask(worker, until_ns)

    def within_ns(self, left_ns: int) -> int | None:
        """After which a shard is silent, where so much time is left for a call."""
        if self._watch is None:
            return None
        return max(min(self._watch.within_ns, left_ns // 2), 2)

    async def settled(self, handle: DispatchHandle) -> None:
        """Until every part has an answer, or will have none."""
        if not handle.pending:
            return
        looks = self._looks(handle)
        await self._port.settled(handle.pending, looks.next_ns)
        while not handle.is_settled():
            self._clock.join_wall()
            await self._look(handle, looks)
            await self._port.settled(handle.all_pending(), looks.next_ns, handle.is_settled)
        handle.decide()
        if self._hedge is not None:
            self._learn(handle)

    def _looks(self, handle: DispatchHandle) -> _Looks:
        """None where nobody else could be asked."""
        looks, now_ns = _Looks(), self._clock.now()
        if not self._has_others(handle):
            return looks
        within_ns = self.within_ns(handle.pending[0].message.deadline_ns - now_ns)
        if within_ns is not None:
            looks.step_ns = within_ns // 2
            looks.ask_ns = now_ns + looks.step_ns
        if self._hedge is not None and (usual_ns := self._usual.median_ns()) is not None:
            looks.hedge_ns = now_ns + max(int(self._hedge * usual_ns), 1)
        return looks

    def _has_others(self, handle: DispatchHandle) -> bool:
        return self._stand_ins.has_any or handle.table is not None

    async def _look(self, handle: DispatchHandle, looks: _Looks) -> None:
        now_ns = self._clock.now()
        if looks.ask_ns is not None and now_ns >= looks.ask_ns:
            looks.ask_ns = now_ns + looks.step_ns
            self._who_is_there(handle, looks)
            self.num_silent += await self._ask_beside(handle, only_silent=True)
        if looks.hedge_ns is not None and now_ns >= looks.hedge_ns:
            looks.hedge_ns = None
            self.num_hedged += await self._ask_beside(handle, only_silent=False)

    def _who_is_there(self, handle: DispatchHandle, looks: _Looks) -> None:
        """Whoever was asked at the last look and has not been heard since is silent."""
        assert self._watch is not None, "nobody looks where nobody can be silent"
        for pending in handle.all_pending():
            worker = pending.message.destination
            if pending.answer is not None:
                continue
            num_heard = self._watch.num_heard(worker)
            if looks.asked.get(worker) == num_heard:
                self._stand_ins.fell_silent(worker)
            looks.asked[worker] = num_heard
            self._watch.ask(worker, pending.message.deadline_ns)

    async def _ask_beside(self, handle: DispatchHandle, *, only_silent: bool) -> int:
        """Others for parts that are open; returns for how many of them."""
        lives, num_asked = self._stand_ins.lives, 0
        for first in handle.open_parts():
            asked = first.pending.message.destination
            if any(
                not lives(other) and other != asked
                for one in handle.beside.get(first.pending, ())
                for other in (one.pending.message.destination,)
            ):
                handle.drop_beside(first.pending)
            if first.pending in handle.beside or (only_silent and lives(asked)):
                continue
            if beside := await self._others(handle, first, only_silent=only_silent):
                handle.ask_beside(first.pending, beside)
                num_asked += 1
        return num_asked

    async def _others(
        self, handle: DispatchHandle, first: Asked, *, only_silent: bool
    ) -> list[Asked]:
        """All that one part needs, asked of others; empty where that cannot be."""
        asked, parts = list[Asked](), self._parts(handle, first)
        is_own = [other == first.pending.message.destination for _, _, other, _ in parts]
        if all(is_own) or (any(is_own) and not only_silent):
            return []
        for shard, rows, other, content in parts:
            pending = await self._posted(handle, other, content, first.pending.message)
            if pending is None:
                for one in asked:
                    one.pending.abandon()
                return []
            asked.append(Asked(shard, rows, pending))
        return asked

    def _parts(
        self, handle: DispatchHandle, first: Asked
    ) -> list[tuple[str, NDArray[np.intp], str, Dispatch]]:
        """Of whom what would be asked: a spare all of it, or copies of each expert. Experts that
        nobody else has are asked of the same once more, by themselves: so that only they are
        missed where it says nothing to the end.
        """
        call = first.pending.message
        told: Dispatch = call.content
        other = self._stand_ins.other(first.shard, call.destination)
        if other is not None:
            return [(first.shard, first.rows, other, replace(told, gather=None))]
        if handle.table is None:
            return []
        table, parts = self._stand_ins.without(handle.table, first.shard), []
        for shard, rows, content in spread_again(table, told):
            asked = call.destination if shard == first.shard else self._stand_ins.of(shard)
            parts.append((shard, first.rows[rows], asked, content))
        return parts

    async def _posted(
        self, handle: DispatchHandle, other: str, content: Dispatch, call: Message[Dispatch]
    ) -> Pending[Combine] | None:
        """None where it cannot be sent now: another look may find it can."""
        try:
            posted = self._port.post_now(other, content, call.deadline_ns, call.request_id)
        except PerfuseError:
            return None
        if posted is None:
            return None
        pending, turn = posted
        if turn is not None:
            try:
                await self.in_turn(handle, turn, call.deadline_ns)
            except BaseException as error:
                pending.abandon()
                if isinstance(error, PerfuseError):
                    return None
                raise
        return pending

    async def in_turn(
        self, handle: DispatchHandle, turn: Awaitable[None], deadline_ns: int
    ) -> None:
        """The wire to somebody is full. Where others could be asked nobody waits for long: what did
        not leave is asked for as what was lost is. Raises DeadlineExceeded, or PeerDead.
        """
        left_ns = deadline_ns - self._clock.now()
        within_ns = self.within_ns(left_ns) if self._has_others(handle) else None
        if within_ns is None:
            async with self._clock.deadline(deadline_ns):
                await turn
            return
        with suppress(DeadlineExceeded):
            async with self._clock.deadline(self._clock.now() + within_ns // 2):
                await turn

    def _learn(self, handle: DispatchHandle) -> None:
        for pending in handle.pending:
            answer = pending.answer
            if isinstance(answer, Message):
                self._usual.heard(answer.due_ns - pending.posted_ns)

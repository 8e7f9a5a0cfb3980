"""What takes time for a request: calls to other machines, and this one's own work. Each in a task
of its own; what comes back is an event.
"""

import asyncio

from cluster.router.ledger import Ledger
from cluster.router.machine import actions as act
from cluster.router.machine.events import (
    AbortSettled,
    Event,
    PassagesFound,
    RequestFailed,
    RoomRefused,
    RoomReserved,
)
from cluster.router.preparation import Preparation
from cluster.router.stores import Stores
from cluster.router.watch import Watch
from cluster.router.wire import Wire, fault_of
from workers.errors import DeadlineExceeded, PerfuseError
from workers.node import Node

Call = act.Retrieve | act.Prepare | act.Reserve | act.Prefill | act.Generate


class Calls:
    """One call for a request at a time; none outlives its request, but for aborts."""

    def __init__(
        self,
        node: Node,
        wire: Wire,
        ledger: Ledger,
        stores: Stores,
        preparation: Preparation,
        watch: Watch,
    ) -> None:
        self._watch = watch
        self._node, self._wire, self._ledger, self._stores = node, wire, ledger, stores
        self._preparation = preparation
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, action: Call) -> None:
        """Nothing happens if the request has left meanwhile."""
        request_id = owner_of(action)
        if self._is_wanted(action):
            if isinstance(action, act.Reserve | act.Generate):
                self._watch.begin()
            task = self._node.spawn(self._follow(request_id, action), f"request {request_id}")
            self._tasks[request_id] = task

    def give_up(self, request_id: str) -> None:
        """Nobody waits for what is still asked."""
        task = self._tasks.pop(request_id, None)
        if task is not None:
            task.cancel()

    def _is_wanted(self, action: Call) -> bool:
        if isinstance(action, act.Retrieve | act.Prepare):
            return action.request.request_id in self._ledger.state.requests
        return action.sequence.sequence_id in self._ledger.state.sequences

    async def _follow(self, request_id: str, action: Call) -> None:
        event: Event | None
        try:
            event = await self._ask(action)
        except PerfuseError as error:
            event = RequestFailed(self._node.clock.now(), request_id, fault_of(error))
        # Gone before the event, which may end the request: this task is not to be cancelled then.
        self._tasks.pop(request_id, None)
        if event is not None:
            self._ledger.happened(event)

    async def _ask(self, action: Call) -> Event | None:
        clock = self._node.clock
        match action:
            case act.Retrieve(request):
                deadline_ns = self._ledger.state.requests[request.request_id].deadline_ns
                passages = await self._stores.retrieve(request, deadline_ns)
                return PassagesFound(clock.now(), request.request_id, passages)
            case act.Prepare(request, passages):
                return await self._preparation.prepare(request, passages)
            case act.Reserve(_, sequence):
                first_block = await self._wire.reserve(action)
                if first_block is None:
                    return RoomRefused(clock.now(), sequence.sequence_id)
                return RoomReserved(clock.now(), sequence.sequence_id, first_block)
            case act.Prefill():
                await self._wire.prefill(action)
            case act.Generate():
                await self._wire.generate(action)
        return None

    def abort(self, chip: str, sequence_id: str) -> None:
        """Until the chip has heard or is gone: what it holds nobody else will take from it."""
        self._node.spawn(self._abort(chip, sequence_id), f"abort {sequence_id}")

    async def _abort(self, chip: str, sequence_id: str) -> None:
        while self._is_open(chip, sequence_id):
            try:
                await self._wire.abort(chip, sequence_id)
                break
            except PerfuseError as error:
                now_ns = self._node.clock.now()
                self._node.trace.note(now_ns, "abort failed", chip, error.message, sequence_id)
                if not isinstance(error, DeadlineExceeded):
                    break
        if self._is_open(chip, sequence_id):
            self._ledger.happened(AbortSettled(self._node.clock.now(), chip, sequence_id))

    def _is_open(self, chip: str, sequence_id: str) -> bool:
        return sequence_id in self._ledger.state.aborts.get(chip, ())


def owner_of(action: Call) -> str:
    """Whose request it is for."""
    if isinstance(action, act.Retrieve | act.Prepare):
        return action.request.request_id
    return action.sequence.request_id

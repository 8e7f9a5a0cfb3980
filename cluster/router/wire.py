"""What a router says to others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from cluster.api.kinds import Outputs
from cluster.retrieval.passages import Passage
from cluster.router.machine import actions as act
from cluster.router.machine.actions import Said
from cluster.router.machine.events import Fault
from cluster.router.pieces import pieces
from workers.errors import to_body
from workers.memory.index.choice import IndexChoice
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kind import Kind
from workers.wire.kinds.chip import (
    Abort,
    ChipState,
    ChipStateIs,
    Generate,
    Prefill,
    Reserve,
)
from workers.wire.kinds.memory import (
    Hits,
    MemoryState,
    Search,
    ShardAdd,
    ShardCreate,
    ShardDelete,
    ShardRead,
    ShardTakeBack,
)
from workers.wire.kinds.shipping import SearchShipped
from workers.wire.line import Line
from workers.wire.port import Port

A = TypeVar("A")
# Told of how many outputs a reader has heard (True), or will not hear (False), the oldest first.
OnTold = Callable[[str, int, bool], None]

# A chip's answer about its state is waited for this share of a call's time.
STATE_SHARE = 2
# The deadline of what no user waits for.
NEVER_NS = 1 << 62


class Wire:
    """What a router says. Each call is given up after `timeout_ns`, and by the deadline of whoever
    asked for it, and raises PerfuseError as `Port.call` does.
    """

    def __init__(self, node: Node, port: Port, timeout_ns: int) -> None:
        self._node, self._clock, self._port = node, node.clock, port
        self._timeout_ns = timeout_ns

    def _by_ns(self, deadline_ns: int) -> int:
        return min(self._clock.now() + self._timeout_ns, deadline_ns)

    async def _call(
        self, worker: str, content: Kind[A], request_id: str = "", deadline_ns: int = NEVER_NS
    ) -> A:
        by_ns = self._by_ns(deadline_ns)
        return await self._port.call(worker, content, deadline_ns=by_ns, request_id=request_id)

    # -- to chips ----------------------------------------------------------------------------------

    async def reserve(self, action: act.Reserve) -> int | None:
        """The first block whose KV is wanted; None if there is no room."""
        sequence = action.sequence
        content = Reserve(
            sequence.prompt_ids, sequence.sampling, sequence.deadline_ns, sequence.sent_ids
        )
        reply = await self._call(action.chip, content, sequence.sequence_id, sequence.deadline_ns)
        return reply.first_block if reply.room else None

    async def prefill(self, action: act.Prefill) -> None:
        sequence = action.sequence
        content = Prefill(
            sequence.prompt_ids,
            sequence.sampling,
            action.decode_chip,
            action.first_block,
            sequence.deadline_ns,
            sequence.sent_ids,
        )
        await self._call(action.chip, content, sequence.sequence_id, sequence.deadline_ns)

    async def generate(self, action: act.Generate) -> None:
        sequence = action.sequence
        content = Generate(
            sequence.prompt_ids, sequence.sampling, sequence.deadline_ns, sequence.sent_ids
        )
        await self._call(action.chip, content, sequence.sequence_id, sequence.deadline_ns)

    async def abort(self, chip: str, sequence_id: str) -> None:
        await self._call(chip, Abort(), sequence_id)

    async def ask_state(self, chip: str) -> Pending[ChipStateIs]:
        """Whoever is silent is given up before whoever asks gives up."""
        deadline_ns = self._clock.now() + self._timeout_ns // STATE_SHARE
        return await self._port.post(chip, ChipState(), deadline_ns=deadline_ns)

    async def is_there(self, chip: str, within_ns: int) -> None:
        """Whether it says anything."""
        deadline_ns = self._clock.now() + within_ns
        await self._port.call(chip, ChipState(), deadline_ns=deadline_ns)

    # -- to readers --------------------------------------------------------------------------------

    def reader_line(self, reader: str, on_told: OnTold) -> Line[Said]:
        """A line of what the state's outbox holds for that reader."""

        def told(said: Sequence[Said], is_heard: bool) -> None:
            on_told(reader, len(said), is_heard)

        timeout_ns = self._timeout_ns
        return Line(self._node, self._port, reader, "outputs", timeout_ns, _outputs, told, pieces)

    # -- to memory servers -------------------------------------------------------------------------

    async def stores_of(self, server: str) -> dict[str, int]:
        """Store -> passages that the server holds of it."""
        return (await self._call(server, MemoryState())).stores

    async def create_store(
        self, server: str, store_id: str, dim: int, index: IndexChoice, deadline_ns: int
    ) -> None:
        content = ShardCreate(store_id, dim, index.to_plain())
        await self._call(server, content, store_id, deadline_ns)

    async def delete_store(self, server: str, store_id: str) -> None:
        await self._call(server, ShardDelete(store_id), store_id)

    async def take_back(self, server: str, store_id: str, first_id: int, count: int) -> int:
        """Bytes of the store that the server holds then."""
        content = ShardTakeBack(store_id, first_id, count)
        return (await self._call(server, content, store_id)).num_bytes

    async def add_passages(
        self,
        server: str,
        store_id: str,
        ids: Sequence[int],
        passages: Sequence[Passage],
        vectors: NDArray[np.float32],
        deadline_ns: int,
        *,
        preloaded: bool,
    ) -> int:
        """Bytes of the store that the server holds then. Preloaded ones were there before time
        began, and cost the link nothing.
        """
        content = ShardAdd(
            store_id,
            np.array(ids, dtype=np.int64),
            tuple(passage.text for passage in passages),
            tuple(passage.file_id for passage in passages),
            vectors,
            preloaded,
        )
        return (await self._call(server, content, store_id, deadline_ns)).num_bytes

    async def ask_hits(
        self, server: str, search: Search, deadline_ns: int, request_id: str
    ) -> Pending[Hits]:
        by_ns = self._by_ns(deadline_ns)
        return await self._port.post(server, search, deadline_ns=by_ns, request_id=request_id)

    async def hits_shipped(
        self, chip: str, search: SearchShipped, deadline_ns: int, request_id: str
    ) -> Hits:
        return await self._call(chip, search, request_id, deadline_ns)

    async def read(
        self, server: str, store_id: str, first_id: int, count: int, deadline_ns: int
    ) -> dict[int, str]:
        """Passages of that server by id."""
        content = ShardRead(store_id, first_id, count)
        told = await self._call(server, content, store_id, deadline_ns)
        return dict(zip(told.passage_id.tolist(), told.texts, strict=True))


def _outputs(said: Sequence[Said]) -> Outputs:
    """In one message."""
    logits = {
        str(i): np.frombuffer(one.logits, "<f4")[None] for i, one in enumerate(said) if one.logits
    }
    return Outputs(tuple(one.output for one in said), logits)


def fault_of(error: Exception) -> Fault:
    """The error; see `plain_fault`."""
    return plain_fault(to_body(error))


def plain_fault(told: Mapping[str, Any]) -> Fault:
    """As plain data that stays the same when it is written and read."""
    fault: Fault = orjson.loads(orjson.dumps(told, default=str))
    return fault

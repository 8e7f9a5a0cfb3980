"""A rank that does not lead: it runs its part of each step that its leader orders, and holds the KV
of its layers and heads, in blocks of the same ids as its leader's.

    leader ── step ──────▶ run this, after those before it
    leader ── expect_kv ─▶ KV of a sequence will come, for these blocks
    leader ── forget ────▶ these sequences are gone
    leader ── kv_send ───▶ send some blocks to the ranks of another chip
    ranks  ◀── share, stage_rows, step_failed ──▶   (`workers.parallel.team`)
    rank of another chip ── kv_part ──▶ here is some of a sequence's KV
"""

from typing import Any

from workers.errors import Cancelled, InvalidRequest, PerfuseError
from workers.kv.checksums import verify_blocks
from workers.kv.crossing import came
from workers.kv.identity import Owner
from workers.kv.parts import KvParts, write_part, write_work
from workers.model.base import RankModel
from workers.node import Node
from workers.parallel.running import Running
from workers.parallel.team import Team
from workers.parallel.told import Order, Told, ToldStep
from workers.wire.calls import Handled
from workers.wire.incoming import DONE
from workers.wire.kinds.ranks import ExpectKv, Forget, KvPart, KvSend, StepOrder
from workers.wire.membership import Member
from workers.wire.message import Message


class Rank:
    """`serve` is its loop; `held` says whether it let go of everything."""

    def __init__(
        self, node: Node, model: RankModel, team: Team, running: Running, parts: KvParts
    ) -> None:
        self._node, self._model, self._team, self._running = node, model, team, running
        self._parts, self._port, self._told = parts, team.port, Told()
        self._steps: Any = node.mailbox()
        leader = team.ranks.names[team.ranks.leader]
        self._leader_node = node.members.node_of(leader)
        self._port.on(StepOrder, self._ordered)
        self._port.on(ExpectKv, self._ordered)
        self._port.on(Forget, self._ordered)
        self._port.on(KvSend, self._send)
        self._port.on(KvPart, self._kv_part)
        node.members.on_join.append(self._joined)

    # -- orders ------------------------------------------------------------------------------------

    def _ordered(self, message: Order) -> Handled:
        for order in self._told.in_order(message):
            if self._told.is_void(order):
                self._port.refuse(order, Cancelled("an order of before the chip began anew"))
                continue
            self._follow(order)
            self._port.reply(order, DONE)
        return Handled.LATER

    def _follow(self, order: Order) -> None:
        content = order.content
        self._told.forget(content.ended)
        if isinstance(content, StepOrder):
            self._team.expect(content.step)
            self._steps.put(self._told.step(content))
        elif isinstance(content, ExpectKv):
            self._told.blocks[order.request_id] = list(content.blocks)

    def _joined(self, member: Member) -> None:
        """The leader's next incarnation knows nothing of what the last one told."""
        if member.node == self._leader_node:
            self._told.blocks.clear()

    # -- KV ----------------------------------------------------------------------------------------

    async def _send(self, message: Message[KvSend]) -> None:
        await self._parts.send_own(message.request_id, message.content)

    async def _kv_part(self, message: Message[KvPart]) -> None:
        content, held = message.content, self._told.blocks.get(message.request_id)
        crossing, indexes = came(self._parts.kept, content), content.index.tolist()
        logical, places = crossing.places(indexes)
        if held is None or not all(0 <= index < len(held) for index in logical):
            raise InvalidRequest(
                f"{self._port.worker} awaits no KV of {message.request_id} for blocks {logical}"
            )
        owner = Owner(message.request_id, message.source_epoch)
        verify_blocks(message.request_id, content, owner)
        crossing.check_held(indexes)

        def write_live() -> None:
            """Not after its end: its blocks are another's by now."""
            if self._told.blocks.get(message.request_id) is held:
                ids = tuple(held[index] for index in logical)
                write_part(self._model, crossing, ids, places, content)

        work = write_work(self._node, crossing, content.blocks)
        await self._node.hardware.run(work, write_live)

    # -- the loop ----------------------------------------------------------------------------------

    async def serve(self) -> None:
        while True:
            told: ToldStep = await self._steps.get()
            self._team.begin(told.step)
            try:
                batches = self._running.batches(told.items, told.token_ids_T)
                await self._running.run(told.step, batches)
            except PerfuseError:
                continue  # the leader has heard, and ends the step's requests
            except Exception as error:
                self._node.failed(f"{self._port.worker} step", error)

    def held(self) -> dict[str, int]:
        """What is held for requests: all zero when idle."""
        return {"sequences": len(self._told.blocks), "shares": len(self._team.inbox)}

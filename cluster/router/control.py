"""What a router answers beside generating: models, state, draining."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from cluster.api.embedding import Embed, Embedded
from cluster.api.kinds import Drain, Facts, Held, Models, State
from cluster.router.embedding import Embedding
from cluster.router.machine.events import DrainBegan
from cluster.router.readiness import lacking
from cluster.router.router import Router
from cluster.router.store_control import StoreControl
from cluster.router.waiting import Waiting
from workers.errors import PeerDead, PerfuseError
from workers.experts.stand_ins import StandIns
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kinds.chip import ChipStateIs
from workers.wire.message import Message
from workers.wire.port import Port
from workers.wire.watch import says_so


class Control:
    """Handlers that never touch a request.

    shards   expert shards, each the only one with its experts
    spares   shard -> those that stand by for it
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        router: Router,
        shards: Sequence[str],
        spares: Mapping[str, Sequence[str]],
    ) -> None:
        self._node, self._router, self._shards = node, router, shards
        self._stand_ins = StandIns(node.members, spares)
        self._for_chips = Waiting("chips")
        says_so(port)
        port.on(Models, self._models)
        port.on(State, self._state)
        port.on(Held, self._held)
        port.on(Drain, self._drain)
        StoreControl(node, port, router.stores)
        self._embedding = Embedding(node, router.stores, router.settings.model, router.tokenizer)
        self._for_embedders = Waiting("embedders")
        port.on(Embed, self._embed)

    def _models(self, message: Message[Models]) -> Facts:
        settings = self._router.settings
        model = {
            "id": settings.model,
            "max_model_len": settings.max_model_len,
            "max_queue": settings.max_queue,
            "tool_format": self._router.tool_format,
        }
        if longest := self._router.max_token_chars:
            model["max_token_chars"] = longest
        return Facts({"models": [model]})

    async def _state(self, message: Message[State]) -> Facts:
        """Sums over the chips; a chip that does not answer counts nothing."""
        total: dict[str, int] = {}
        states: list[Mapping[str, int]] = []
        if not message.content.is_brief:
            with self._for_chips.one_more():
                states = await self._states()
        for state in states:
            for key, value in state.items():
                total[key] = total.get(key, 0) + value
        router = self._router.state
        total["num_waiting"] = total.get("num_waiting", 0) + len(router.line)
        lack = lacking(router.chips.values(), self._dead_shards())
        return Facts({"draining": router.is_draining, "lack": lack, **total})

    def _dead_shards(self) -> list[str]:
        lives, stands_in = self._stand_ins.lives, self._stand_ins.of
        return [shard for shard in self._shards if not lives(stands_in(shard))]

    async def _states(self) -> list[Mapping[str, int]]:
        """All chips are asked at once; a silent one is given up before whoever asks gives up."""
        asked: list[Pending[ChipStateIs]] = []
        states: list[Mapping[str, int]] = []
        try:
            for chip in [c.name for c in self._router.state.chips.values() if c.alive]:
                with suppress(PeerDead):  # it left while another was asked
                    asked.append(await self._router.wire.ask_state(chip))
            for pending in asked:
                try:
                    states.append((await pending.reply()).counts)
                except PerfuseError:
                    continue
        finally:
            for pending in asked:
                pending.abandon()
        return states

    def _held(self, message: Message[Held]) -> Facts:
        return Facts(self._router.held())

    def _drain(self, message: Message[Drain]) -> None:
        if not self._router.state.is_draining:
            self._router.ledger.happened(DrainBegan(self._node.clock.now()))

    async def _embed(self, message: Message[Embed]) -> Embedded:
        with self._for_embedders.one_more():
            return await self._embedding.embed(message.content)

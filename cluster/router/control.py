"""What a router answers beside generating: models, state, draining, vector stores."""

from collections.abc import Mapping

from cluster.router import wire as said
from cluster.router.machine.events import DrainBegan
from cluster.router.router import Router
from workers.errors import PerfuseError
from workers.node import Node
from workers.wire.calls import Pending, Reply
from workers.wire.message import Message
from workers.wire.port import Port


class Control:
    """Handlers that never touch a request."""

    def __init__(self, node: Node, port: Port, router: Router) -> None:
        self._node, self._router = node, router
        port.on("models", self._models)
        port.on("state", self._state)
        port.on("held", self._held)
        port.on("drain", self._drain)
        port.on("store_create", self._store_create)
        port.on("store_list", self._store_list)
        port.on("store_delete", self._store_delete)
        port.on("store_add", self._store_add)
        port.on("store_search", self._store_search)

    def _models(self, message: Message) -> Reply:
        settings = self._router.settings
        model = {"id": settings.model, "max_model_len": settings.max_model_len}
        return said.facts(models=[model])

    async def _state(self, message: Message) -> Reply:
        """Sums over the chips; a chip that does not answer counts nothing."""
        total: dict[str, int] = {}
        for state in await self._states():
            for key, value in state.items():
                total[key] = total.get(key, 0) + value
        router = self._router.state
        total["num_waiting"] = total.get("num_waiting", 0) + len(router.line)
        return said.facts(draining=router.is_draining, **total)

    async def _states(self) -> list[Mapping[str, int]]:
        """All chips are asked at once; a silent one is given up before whoever asks gives up."""
        asked: list[Pending] = []
        states: list[Mapping[str, int]] = []
        try:
            for chip in [c.name for c in self._router.state.chips.values() if c.alive]:
                call = await self._router.wire.ask_state(chip)
                asked.append(call)
            for pending in asked:
                try:
                    states.append(said.counts_of(await pending.reply()))
                except PerfuseError:
                    continue
        finally:
            for pending in asked:
                pending.abandon()
        return states

    def _held(self, message: Message) -> Reply:
        return said.facts(**self._router.held())

    def _drain(self, message: Message) -> Reply:
        if not self._router.state.is_draining:
            self._router.ledger.happened(DrainBegan(self._node.clock.now()))
        return Reply()

    async def _store_create(self, message: Message) -> Reply:
        store = await self._router.stores.create(said.store_name_of(message))
        return said.facts(**said.store_facts(store))

    def _store_list(self, message: Message) -> Reply:
        return said.facts(stores=[said.store_facts(s) for s in self._router.stores.all()])

    async def _store_delete(self, message: Message) -> Reply:
        await self._router.stores.delete(said.store_id_of(message))
        return Reply()

    async def _store_add(self, message: Message) -> Reply:
        documents = said.documents_of(message)
        store = await self._router.stores.add(said.store_id_of(message), documents)
        return said.facts(**said.store_facts(store))

    async def _store_search(self, message: Message) -> Reply:
        store_id, (text, top_k) = said.store_id_of(message), said.query_of(message)
        hits = await self._router.stores.search(store_id, text, top_k)
        return said.found(hits, self._router.stores.get(store_id).files)

"""What a router answers beside generating: models, state, draining, vector stores."""

from collections.abc import Mapping

from cluster.api.kinds import (
    Drain,
    Facts,
    Held,
    Models,
    State,
    StoreAdd,
    StoreCreate,
    StoreDelete,
    StoreIs,
    StoreList,
    StoreSearch,
)
from cluster.router.router import Router
from workers.errors import PerfuseError
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kinds.chip import ChipState, ChipStateIs
from workers.wire.message import Message
from workers.wire.port import Port

# A chip's answer is waited for this share of a call's time.
STATE_SHARE = 2


class Control:
    """Handlers that never touch a request."""

    def __init__(self, node: Node, port: Port, router: Router) -> None:
        self._node, self._port, self._router = node, port, router
        port.on(Models, self._models)
        port.on(State, self._state)
        port.on(Held, self._held)
        port.on(Drain, self._drain)
        port.on(StoreCreate, self._store_create)
        port.on(StoreList, self._store_list)
        port.on(StoreDelete, self._store_delete)
        port.on(StoreAdd, self._store_add)
        port.on(StoreSearch, self._store_search)

    def _models(self, message: Message[Models]) -> Facts:
        settings = self._router.settings
        model = {"id": settings.model, "max_model_len": settings.max_model_len}
        return Facts({"models": [model]})

    async def _state(self, message: Message[State]) -> Facts:
        """Sums over the chips; a chip that does not answer counts nothing."""
        total: dict[str, int] = {}
        for state in await self._states():
            for key, value in state.items():
                total[key] = total.get(key, 0) + value
        total["num_waiting"] = total.get("num_waiting", 0) + self._router.held()["line"]
        return Facts({"draining": self._router.draining, **total})

    async def _states(self) -> list[Mapping[str, int]]:
        """All chips are asked at once; a silent one is given up before whoever asks gives up."""
        deadline_ns = self._node.clock.now() + self._router.settings.timeout_ns // STATE_SHARE
        asked: list[Pending[ChipStateIs]] = []
        states: list[Mapping[str, int]] = []
        try:
            for chip in [c.name for c in self._router.state.chips.values() if c.alive]:
                call = await self._port.post(chip, ChipState(), deadline_ns=deadline_ns)
                asked.append(call)
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
        self._router.draining = True

    async def _store_create(self, message: Message[StoreCreate]) -> StoreIs:
        return (await self._router.stores.create(message.content.name)).told()

    def _store_list(self, message: Message[StoreList]) -> Facts:
        return Facts({"stores": [store.told().pack().body for store in self._router.stores.all()]})

    async def _store_delete(self, message: Message[StoreDelete]) -> None:
        await self._router.stores.delete(message.content.store_id)

    async def _store_add(self, message: Message[StoreAdd]) -> StoreIs:
        content = message.content
        return (await self._router.stores.add(content.store_id, content.documents)).told()

    async def _store_search(self, message: Message[StoreSearch]) -> Facts:
        asked, stores = message.content, self._router.stores
        hits = await stores.search(asked.store_id, asked.query, asked.top_k)
        names = stores.get(asked.store_id).files
        found = [{**hit.to_body(), "filename": names.get(hit.file_id, "")} for hit in hits]
        return Facts({"hits": found})

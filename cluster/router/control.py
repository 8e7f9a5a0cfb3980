"""What a router answers beside generating: models, state, draining, vector stores."""

from cluster.router.router import Router
from workers.errors import PerfuseError
from workers.node import Node
from workers.wire.calls import Pending, Reply
from workers.wire.message import Body, Message
from workers.wire.port import Port

# A chip's answer is waited for this share of a call's time.
STATE_SHARE = 2


class Control:
    """Handlers that never touch a request."""

    def __init__(self, node: Node, port: Port, router: Router) -> None:
        self._node, self._port, self._router = node, port, router
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
        return Reply(body={"models": [model]})

    async def _state(self, message: Message) -> Reply:
        """Sums over the chips; a chip that does not answer counts nothing."""
        total: dict[str, int] = {}
        for state in await self._states():
            for key, value in state.items():
                total[key] = total.get(key, 0) + value
        total["num_waiting"] = total.get("num_waiting", 0) + self._router.held()["line"]
        return Reply(body={"draining": self._router.draining, **total})

    async def _states(self) -> list[Body]:
        """All chips are asked at once; a silent one is given up before whoever asks gives up."""
        deadline_ns = self._node.clock.now() + self._router.settings.timeout_ns // STATE_SHARE
        asked: list[Pending] = []
        states: list[Body] = []
        try:
            for chip in [c.name for c in self._router.state.chips.values() if c.alive]:
                call = await self._port.post(chip, "state", deadline_ns=deadline_ns)
                asked.append(call)
            for pending in asked:
                try:
                    states.append((await pending.reply()).body)
                except PerfuseError:
                    continue
        finally:
            for pending in asked:
                pending.abandon()
        return states

    def _held(self, message: Message) -> Reply:
        return Reply(body=self._router.held())

    def _drain(self, message: Message) -> Reply:
        self._router.draining = True
        return Reply()

    async def _store_create(self, message: Message) -> Reply:
        return Reply(body=(await self._router.stores.create(message.body["name"])).to_body())

    def _store_list(self, message: Message) -> Reply:
        return Reply(body={"stores": [store.to_body() for store in self._router.stores.all()]})

    async def _store_delete(self, message: Message) -> Reply:
        await self._router.stores.delete(message.body["store_id"])
        return Reply()

    async def _store_add(self, message: Message) -> Reply:
        documents = [tuple(document) for document in message.body["documents"]]
        store = await self._router.stores.add(message.body["store_id"], documents)
        return Reply(body=store.to_body())

    async def _store_search(self, message: Message) -> Reply:
        body = message.body
        hits = await self._router.stores.search(body["store_id"], body["query"], body["top_k"])
        names = self._router.stores.get(body["store_id"]).files
        found = [{**hit.to_body(), "filename": names.get(hit.file_id, "")} for hit in hits]
        return Reply(body={"hits": found})

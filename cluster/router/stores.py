"""Vector stores, spread over the memory servers: every server scans its own part, the router
merges.

A passage's id says which server holds it, so additions move nothing. What a store is made of is
kept here; the vectors and texts are kept there.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cluster.api.kinds import StoreIs
from cluster.retrieval.collection import Collection
from cluster.retrieval.embedder import Embedder, make_embedder
from cluster.retrieval.passages import Passage, split_document
from cluster.retrieval.spread import merge, partition
from workers.errors import InvalidRequest, NotFound
from workers.memory.hit import Hit
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kinds.memory import Hits, Search, ShardAdd, ShardCreate, ShardDelete
from workers.wire.port import Port

# One message carries this many passages at most: bounds the frame, and interleaves with searches.
PASSAGES_PER_MESSAGE = 1024
STORES_MAX = 1024
TOP_K_MAX = 100
DEFAULT_EMBEDDER = "hashing"


@dataclass(slots=True)
class Store:
    """What the router keeps of a store. `files`: file id -> name and number of passages."""

    store_id: str
    name: str
    embedder: str
    next_passage_id: int = 0
    held_bytes: "OrderedDict[str, int]" = field(default_factory=OrderedDict)
    files: "OrderedDict[str, str]" = field(default_factory=OrderedDict)

    def told(self) -> StoreIs:
        """What a gateway hears of it."""
        used = sum(self.held_bytes.values())
        return StoreIs(self.store_id, self.name, len(self.files), self.next_passage_id, used)


class Stores:
    """All stores of a cluster. Raises NotFound for an unknown one, InvalidRequest for bad
    parameters.
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        servers: tuple[str, ...],
        timeout_ns: int,
    ) -> None:
        self._node, self._port = node, port
        self._servers, self._timeout_ns = servers, timeout_ns
        self._embedders: dict[str, Embedder] = {}
        self._stores: OrderedDict[str, Store] = OrderedDict()
        self._num_created = 0

    def get(self, store_id: str) -> Store:
        store = self._stores.get(store_id)
        if store is None:
            known = ", ".join(list(self._stores)[:10]) or "none"
            raise NotFound(f"no vector store {store_id!r}; there are: {known}", param="store")
        return store

    def all(self) -> list[Store]:
        return list(self._stores.values())

    def _deadline_ns(self) -> int:
        return self._node.clock.now() + self._timeout_ns

    def embedder(self, name: str) -> Embedder:
        """The embedder of that name, made when it is first needed."""
        if name not in self._embedders:
            self._embedders[name] = make_embedder(name)
        return self._embedders[name]

    async def create(
        self, name: str, store_id: str | None = None, embedder: str = DEFAULT_EMBEDDER
    ) -> Store:
        """A new, empty store. `store_id` None chooses one; a given one must be new."""
        if not self._servers:
            raise InvalidRequest("this cluster has no memory server: it cannot hold vector stores")
        if len(self._stores) >= STORES_MAX:
            raise InvalidRequest(f"there are {STORES_MAX} vector stores: delete one first")
        self._num_created += 1
        store = Store(store_id or f"vs_{self._num_created:08d}", name, embedder)
        if store.store_id in self._stores:
            raise InvalidRequest(f"vector store {store.store_id!r} exists already")
        for server in self._servers:
            await self._port.call(
                server,
                ShardCreate(store.store_id, self.embedder(embedder).dim),
                deadline_ns=self._deadline_ns(),
            )
        self._stores[store.store_id] = store
        return store

    async def delete(self, store_id: str) -> None:
        self.get(store_id)
        del self._stores[store_id]
        for server in self._servers:
            await self._port.call(server, ShardDelete(store_id), deadline_ns=self._deadline_ns())

    async def add(self, store_id: str, documents: Sequence[tuple[str, str, str]]) -> Store:
        """Split, embed and store documents (file id, filename, text)."""
        store = self.get(store_id)
        for file_id, _, _ in documents:
            if file_id in store.files:
                raise InvalidRequest(f"file {file_id!r} is in store {store_id!r} already")
        passages = [p for file_id, _, text in documents for p in split_document(file_id, text)]
        texts = [passage.text for passage in passages]
        vectors = self.embedder(store.embedder).embed(texts)
        await self._add(store, passages, vectors, preloaded=False)
        store.files.update((file_id, filename) for file_id, filename, _ in documents)
        return store

    async def preload(self, name: str, collection: Collection) -> Store:
        """A store that was there before the cluster started: bringing it costs no emulated time."""
        store = await self.create(name, name, collection.embedder)
        await self._add(store, collection.passages, collection.vectors, preloaded=True)
        store.files.update((file_id, file_id) for file_id in collection.file_ids)
        return store

    async def _add(
        self,
        store: Store,
        passages: Sequence[Passage],
        vectors: NDArray[np.float32],
        *,
        preloaded: bool,
    ) -> None:
        # Ids are taken before anything is sent, so that passages that come meanwhile get ids of
        # their own.
        first_id = store.next_passage_id
        store.next_passage_id += len(passages)
        for start in range(0, len(passages), PASSAGES_PER_MESSAGE):
            batch = passages[start : start + PASSAGES_PER_MESSAGE]
            ids = range(first_id + start, first_id + start + len(batch))
            parts = partition(ids, len(self._servers))
            for server, rows in zip(self._servers, parts, strict=True):
                if not rows:
                    continue
                reply = await self._port.call(
                    server,
                    ShardAdd(
                        store.store_id,
                        np.array([ids[row] for row in rows], dtype=np.int64),
                        tuple(batch[row].text for row in rows),
                        tuple(batch[row].file_id for row in rows),
                        vectors[start : start + len(batch)][rows],
                        preloaded,
                    ),
                    deadline_ns=self._deadline_ns(),
                )
                store.held_bytes[server] = reply.num_bytes

    async def search(
        self, store_id: str, query: str, top_k: int, request_id: str = ""
    ) -> list[Hit]:
        """The best `top_k` passages of all servers."""
        store = self.get(store_id)
        if not 1 <= top_k <= TOP_K_MAX:
            raise InvalidRequest(
                f"top_k is {top_k}: it must be between 1 and {TOP_K_MAX}", param="top_k"
            )
        queries = self.embedder(store.embedder).embed([query])
        pending: list[Pending[Hits]] = []
        try:
            for server in self._servers:
                call = await self._port.post(
                    server,
                    Search(store.store_id, top_k, queries),
                    deadline_ns=self._deadline_ns(),
                    request_id=request_id,
                )
                pending.append(call)
            replies = [await call.reply() for call in pending]
        finally:
            for call in pending:
                call.abandon()
        return merge([reply.hits[0] for reply in replies], top_k)

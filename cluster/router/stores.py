"""Vector stores, spread over the memory servers: every server scans its own part, the router
merges.

A passage's id says which server holds it, so additions move nothing. What a store is made of is in
the router's state; the vectors and texts are with the servers.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.api.request import Request
from cluster.retrieval.embedder import Embedder, make_embedder
from cluster.retrieval.narrowing import Narrowing
from cluster.retrieval.spread import merge
from cluster.router.additions import Additions
from cluster.router.admission import check_whole, find_store
from cluster.router.indexing import Indexing
from cluster.router.ledger import Ledger
from cluster.router.machine.store_events import (
    StoreChanged,
    StoreCreated,
    StoreDeleted,
    StoreDropped,
    StoreLacks,
    StoreNamed,
)
from cluster.router.machine.store_state import StoreState
from cluster.router.prompts import retrieval_query
from cluster.router.searchers import Near, Shipped
from cluster.router.searching import check_query, find
from cluster.router.servers import tell_each, until_heard
from cluster.router.store_files import StoreFiles
from cluster.router.wire import NEVER_NS, Wire
from cluster.text.tokenizer import Tokenizer
from workers.errors import InvalidRequest, PerfuseError
from workers.memory.hit import Hit
from workers.memory.index.choice import EXACT, IndexChoice
from workers.node import Node

STORES_MAX = 1024
TOP_K_MAX = 100
DEFAULT_EMBEDDER = "hashing"


class Stores:
    """All stores of a cluster. Raises NotFound for an unknown one, InvalidRequest for bad
    parameters, DeadlineExceeded when whoever asked has given up; then nothing has changed. What it
    answers would survive a crash.
    """

    def __init__(
        self,
        node: Node,
        wire: Wire,
        ledger: Ledger,
        servers: tuple[str, ...],
        tokenizer: Tokenizer,
        ships_search: bool = False,
    ) -> None:
        self._ships_search, self._num_searches = ships_search, 0
        self._node, self._wire, self._ledger, self.servers = node, wire, ledger, servers
        self.additions = Additions(node, wire, ledger, servers)
        self._embedders: dict[str, Embedder] = {}
        # Whether an earlier incarnation may have known stores, and its disk is gone.
        self.has_lost_all = node.epoch > 1 and not ledger.state.num_stores_named
        self._are_servers_clear, self._clearing = not self.has_lost_all, asyncio.Lock()
        self.files = StoreFiles(node, wire, ledger, self.additions, servers)
        self.indexing = Indexing(node, ledger, self.additions, tokenizer, self._embed)

    def _now_ns(self) -> int:
        return self._node.clock.now()

    def get(self, store_id: str) -> StoreState:
        return find_store(self._ledger.state, store_id)

    def all(self) -> list[StoreState]:
        """Oldest first."""
        return [store for store in self._ledger.state.stores.values() if store.is_ready]

    def embedder(self, name: str) -> Embedder:
        """The embedder of that name, made when it is first needed."""
        if name not in self._embedders:
            self._embedders[name] = make_embedder(name)
        return self._embedders[name]

    async def _embed(self, store: StoreState, texts: list[str]) -> NDArray[np.float32]:
        """As long as this node's machine takes for it."""
        embedder = self.embedder(store.embedder)
        return await self._node.hardware.run(embedder.work(texts), embedder.embed, texts)

    # -- making and unmaking -----------------------------------------------------------------------

    async def create(
        self,
        name: str,
        store_id: str | None = None,
        embedder: str = DEFAULT_EMBEDDER,
        metadata: Mapping[str, Any] | None = None,
        created_s: int = 0,
        deadline_ns: int = NEVER_NS,
        lacking: Sequence[str] = (),
        index: IndexChoice = EXACT,
    ) -> StoreState:
        """A new, empty store. `store_id` None chooses one; a given one must be new. `lacking`:
        servers without which it is not to be searched yet.
        """
        await self._clear_servers()
        state = self._ledger.state
        if not self.servers:
            raise InvalidRequest("this cluster has no memory server: it cannot hold vector stores")
        if len(state.stores) >= STORES_MAX:
            raise InvalidRequest(f"there are {STORES_MAX} vector stores: delete one first")
        chosen = store_id or f"vs_{state.num_stores_named + 1:08d}"
        if chosen in state.stores or chosen in state.dropped_stores:
            raise InvalidRequest(f"vector store {chosen!r} exists already")
        dim = self.embedder(embedder).dim
        self._check_index(index, dim)
        now_ns = self._now_ns()
        named = StoreNamed(now_ns, chosen, name, embedder, metadata or {}, created_s)
        self._ledger.happened(named)
        try:
            for server in self.servers:
                await self._wire.create_store(server, chosen, dim, index, deadline_ns)
            self.additions.check(self._ledger.state.stores[chosen], deadline_ns)
        except PerfuseError:
            self._ledger.happened(StoreDeleted(self._now_ns(), chosen))
            self.let_go(chosen)
            raise
        self._ledger.happened(StoreCreated(self._now_ns(), chosen))
        for server in lacking:
            self._ledger.happened(StoreLacks(self._now_ns(), chosen, server))
        await self._ledger.committed()
        return self.get(chosen)

    def _check_index(self, index: IndexChoice, dim: int) -> None:
        try:
            index.check(dim)
        except ValueError as error:
            raise InvalidRequest(f"index: {error}", param="index") from error
        if self._ships_search and index.kind != "exact":
            raise InvalidRequest(
                f"index is {index.kind!r}: in this cluster chips scan what memory servers ship to "
                "them (placement.search), so only exact can be",
                param="index",
            )

    async def _clear_servers(self) -> None:
        """Before the first store of an incarnation that has lost all: what the servers hold is of
        one whose disk is gone, and a new store may get the name of an old one.
        """
        async with self._clearing:
            if not self._are_servers_clear:
                for server in self.servers:
                    for store_id in await self._wire.stores_of(server):
                        await self._wire.delete_store(server, store_id)
                self._are_servers_clear = True

    async def change(
        self, store_id: str, name: str | None, metadata: Mapping[str, Any] | None
    ) -> StoreState:
        """What is None stays as it is."""
        store = self.get(store_id)
        name = store.name if name is None else name
        metadata = store.metadata if metadata is None else metadata
        self._ledger.happened(StoreChanged(self._now_ns(), store_id, name, metadata))
        await self._ledger.committed()
        return store

    async def delete(self, store_id: str) -> None:
        """It is found no more. The memory servers hear so in time, even one that is silent now."""
        self.get(store_id)
        self._ledger.happened(StoreDeleted(self._now_ns(), store_id))
        self.let_go(store_id)
        await self._ledger.committed()

    def let_go(self, store_id: str) -> None:
        """`drop` in a task of its own; a server that is gone is told on its return."""
        until_heard(
            self._node,
            "drop",
            store_id,
            lambda: store_id in self._ledger.state.dropped_stores,
            lambda: self.drop(store_id),
        )

    def server_joined(self) -> None:
        """A memory server is back: it may still hold what was deleted meanwhile."""
        for store_id in self._ledger.state.dropped_stores:
            self.let_go(store_id)
        self.additions.server_joined()

    async def drop(self, store_id: str) -> None:
        """Have every memory server let go of a deleted store; see `tell_each`."""
        await tell_each(self.servers, lambda server: self._wire.delete_store(server, store_id))
        if store_id in self._ledger.state.dropped_stores:  # else somebody was faster
            self._ledger.happened(StoreDropped(self._now_ns(), store_id))

    # -- searching ---------------------------------------------------------------------------------

    async def retrieve(self, request: Request, deadline_ns: int) -> tuple[str, ...]:
        """Texts of the passages that a request asks for."""
        wanted = request.retrieval
        assert wanted is not None, f"{request.request_id} asks for no passages"
        query = retrieval_query(request)
        hits = await self.search(
            wanted.store, [query], wanted.top_k, deadline_ns, request.request_id
        )
        return tuple(hit.text for hit in hits)

    async def search(
        self,
        store_id: str,
        queries: Sequence[str],
        top_k: int,
        deadline_ns: int,
        request_id: str = "",
        narrowing: Narrowing | None = None,
    ) -> list[Hit]:
        """The best `top_k` passages of all servers for any of the queries, each once, of files that
        `narrowing` fits. A server reads its vectors once for all of them.
        """
        store = self.get(store_id)
        check_whole(store)
        for query in queries:
            check_query(query)
        if not 1 <= top_k <= TOP_K_MAX:
            raise InvalidRequest(
                f"top_k is {top_k}: it must be between 1 and {TOP_K_MAX}", param="top_k"
            )
        vectors = await self._embed(store, list(queries))
        by = Near(self._wire, self.servers)
        if self._ships_search:
            self._num_searches += 1
            by = Shipped(self._wire, self.servers, self._ledger.state.chips, self._num_searches)
        found = await find(by, store, vectors, top_k, deadline_ns, request_id, narrowing)
        return merge(found, top_k) if len(found) > 1 else found[0]

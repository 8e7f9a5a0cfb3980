"""Collections that were there before the cluster started: brought to the memory servers once, and
again to one that has lost them.

A memory server whose machine is gone for good comes back on another, with an empty disk; so does a
router, which then knows of no store that the servers still hold.
"""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.retrieval.collection import Collection
from cluster.retrieval.passages import Passage
from cluster.retrieval.spread import server_of
from cluster.router.additions import PASSAGES_PER_MESSAGE, Addition
from cluster.router.ledger import Ledger
from cluster.router.machine.store_events import (
    FilesBegun,
    StoreEvent,
    StoreFilled,
    StoreLacks,
)
from cluster.router.machine.store_state import COMPLETED, StoreFile, StoreState
from cluster.router.stores import Stores
from cluster.router.wire import NEVER_NS, Wire
from workers.errors import NotFound
from workers.memory.index.choice import EXACT, IndexChoice
from workers.node import Node

Row = tuple[int, int]  # passage id, row of a collection


class Preloading:
    """Costs no emulated time: it was so before the cluster started."""

    def __init__(self, node: Node, wire: Wire, ledger: Ledger, stores: Stores) -> None:
        self._node, self._wire, self._ledger, self._stores = node, wire, ledger, stores
        self._bringing = asyncio.Lock()

    async def bring(
        self, name: str, collection: Collection, index: IndexChoice = EXACT
    ) -> StoreState:
        """As a store of that name. A router that was restarted may have it already; half of one is
        made again.
        """
        stores, state = self._stores, self._ledger.state
        if name in state.stores:
            if _is_whole(state.stores[name], collection):
                return state.stores[name]
            await stores.delete(name)
        return await self._bring_anew(name, collection, index, ())

    async def bring_again(
        self, name: str, collection: Collection, index: IndexChoice = EXACT
    ) -> None:
        """What memory servers, or the router, have lost of it with their machines. While it comes
        the store is neither searched nor added to, whoever dies meanwhile.

        Raises NotFound where a server has lost what the collection does not have, and the store
        stays as it is: files that came while the cluster served were there alone.
        """
        async with self._bringing:
            store = self._ledger.state.stores.get(name)
            if store is None and self._stores.has_lost_all:
                servers = self._stores.servers
                store = await self._bring_anew(name, collection, index, servers)
                for server in servers:
                    self._happened(StoreFilled(self._now_ns(), name, server))
            elif store is not None:  # else its user has deleted it
                await self._fill_all(store, collection, index)

    async def _bring_anew(
        self, name: str, collection: Collection, index: IndexChoice, lacking: Sequence[str]
    ) -> StoreState:
        stores = self._stores
        if name in self._ledger.state.dropped_stores:
            await stores.drop(name)
        store = await stores.create(name, name, collection.embedder, lacking=lacking, index=index)
        files = files_of(collection)
        self._happened(FilesBegun(self._now_ns(), name, files))

        async def vectors(start: int, batch: Sequence[Passage]) -> NDArray[np.float32]:
            return collection.vectors[start : start + len(batch)]

        def check() -> None:
            stores.additions.check(store, NEVER_NS)

        addition = Addition(tuple(files), collection.passages, vectors, check, preloaded=True)
        await stores.additions.add(store, addition, NEVER_NS)
        return store

    async def _fill_all(
        self, store: StoreState, collection: Collection, index: IndexChoice
    ) -> None:
        name, servers = store.store_id, self._stores.servers
        for number, server in enumerate(servers):
            if name in await self._wire.stores_of(server) and server not in store.lacking:
                continue
            rows = rows_of(store, collection, number, len(servers))
            self._happened(StoreLacks(self._now_ns(), name, server))
            await self._ledger.committed()
            await self._fill(server, store, collection, index, rows)
            self._happened(StoreFilled(self._now_ns(), name, server))

    async def _fill(
        self,
        server: str,
        store: StoreState,
        collection: Collection,
        index: IndexChoice,
        rows: Sequence[Row],
    ) -> None:
        """One server's part of it."""
        wire, name = self._wire, store.store_id
        await wire.delete_store(server, name)  # half of it, from a time that was cut short
        await wire.create_store(server, name, collection.vectors.shape[1], index, NEVER_NS)
        for start in range(0, len(rows), PASSAGES_PER_MESSAGE):
            self._stores.additions.check(store, NEVER_NS)
            batch = rows[start : start + PASSAGES_PER_MESSAGE]
            await wire.add_passages(
                server,
                name,
                [passage_id for passage_id, _ in batch],
                [collection.passages[row] for _, row in batch],
                collection.vectors[[row for _, row in batch]],
                NEVER_NS,
                preloaded=True,
            )
        self._stores.additions.check(store, NEVER_NS)

    def _now_ns(self) -> int:
        return self._node.clock.now()

    def _happened(self, event: StoreEvent) -> None:
        self._ledger.happened(event)


def _is_whole(store: StoreState, collection: Collection) -> bool:
    """Whether it was preloaded to the end. Files that were removed since then stay so."""
    wanted = dict.fromkeys(collection.file_ids)
    known = [store.files[name] for name in wanted if name in store.files]
    is_announced = store.next_passage_id >= len(collection.passages)
    return is_announced and all(file.status == COMPLETED for file in known)


def files_of(collection: Collection) -> dict[str, StoreFile]:
    """Called by their ids, and as large as their passages."""
    files: dict[str, StoreFile] = {}
    for passage in collection.passages:
        file = files.setdefault(passage.file_id, StoreFile(passage.file_id))
        file.num_bytes += len(passage.text.encode())
    return files


def rows_of(store: StoreState, collection: Collection, server: int, num_servers: int) -> list[Row]:
    """(passage id, row of the collection) of all that can be found and is server number `server`'s.

    Raises NotFound naming files of which the collection has not what the store has: they were
    added later, or have changed where the collection lies.
    """
    rows: dict[str, list[int]] = {}
    for row, passage in enumerate(collection.passages):
        rows.setdefault(passage.file_id, []).append(row)
    found: list[Row] = []
    strange: dict[str, None] = {}
    for name, file in store.files.items():
        ids = [i for first_id, count in file.spans for i in range(first_id, first_id + count)]
        here = [place for place, i in enumerate(ids) if server_of(i, num_servers) == server]
        if here and len(ids) != len(rows.get(name, ())):
            strange[name] = None
            continue
        found += [(ids[place], rows[name][place]) for place in here]
    if strange:
        raise NotFound(
            f"vector store {store.store_id!r} has lost passages of files that its collection does "
            f"not have, or has otherwise by now ({', '.join(list(strange)[:3])}): delete the "
            "store, or those files, and add them again"
        )
    return found

"""Collections that were there before the cluster started: brought to the memory servers once, and
again to one that has lost them.

A memory server whose machine is gone for good comes back on another, with an empty disk; so does a
router, which then knows of no store that the servers still hold.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.retrieval.collection import Collection
from cluster.retrieval.passages import Passage
from cluster.retrieval.spread import partition
from cluster.router.additions import PASSAGES_PER_MESSAGE, Addition
from cluster.router.ledger import Ledger
from cluster.router.machine.store_events import FilesBegun
from cluster.router.machine.store_state import COMPLETED, StoreFile, StoreState
from cluster.router.stores import Stores
from cluster.router.wire import NEVER_NS, Wire
from workers.errors import NotFound
from workers.memory.index.choice import EXACT, IndexChoice
from workers.node import Node


class Preloading:
    """Costs no emulated time: it was so before the cluster started."""

    def __init__(self, node: Node, wire: Wire, ledger: Ledger, stores: Stores) -> None:
        self._node, self._wire, self._ledger, self._stores = node, wire, ledger, stores

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
        if name in state.dropped_stores:
            await stores.drop(name)
        store = await stores.create(name, name, collection.embedder, index=index)
        files = files_of(collection)
        self._ledger.happened(FilesBegun(self._node.clock.now(), name, files))

        async def vectors(start: int, batch: Sequence[Passage]) -> NDArray[np.float32]:
            return collection.vectors[start : start + len(batch)]

        def check() -> None:
            stores.additions.check(store, NEVER_NS)

        addition = Addition(tuple(files), collection.passages, vectors, check, preloaded=True)
        await stores.additions.add(store, addition, NEVER_NS)
        return store

    async def bring_again(
        self, name: str, collection: Collection, index: IndexChoice = EXACT
    ) -> None:
        """Whatever a memory server does not hold of it any more. While it comes, searching the
        store is refused: half of it would be found.

        Raises NotFound where a server has lost files that came while the cluster served: their
        texts and vectors were there alone, and the store stays as it is.
        """
        store, servers = await self.bring(name, collection, index), self._stores.servers
        by_server = partition(_ids(store, collection), len(servers))
        for server, places in zip(servers, by_server, strict=True):
            held = (await self._wire.stores_of(server)).get(name)
            if held is not None and held >= len(places):
                continue
            others = sorted(set(store.files) - set(collection.file_ids))
            if others:
                raise NotFound(
                    f"{server} came back with an empty disk, and vector store {name!r} had files "
                    f"that were added to it ({', '.join(others[:3])}): delete it, and add them "
                    "again"
                )
            self._stores.brought_again[name] = server
            await self._fill(server, store, collection, index, places)
            del self._stores.brought_again[name]

    async def _fill(
        self,
        server: str,
        store: StoreState,
        collection: Collection,
        index: IndexChoice,
        places: Sequence[int],
    ) -> None:
        """One server's part of it. places: in `_ids`."""
        wire, name, ids = self._wire, store.store_id, _ids(store, collection)
        rows = _rows(store, collection)
        await wire.delete_store(server, name)  # half of it, from a time that was cut short
        await wire.create_store(server, name, collection.vectors.shape[1], index, NEVER_NS)
        for start in range(0, len(places), PASSAGES_PER_MESSAGE):
            batch = places[start : start + PASSAGES_PER_MESSAGE]
            of_batch = [rows[place] for place in batch]
            await wire.add_passages(
                server,
                name,
                [ids[place] for place in batch],
                [collection.passages[row] for row in of_batch],
                collection.vectors[of_batch],
                NEVER_NS,
                preloaded=True,
            )


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


def _rows(store: StoreState, collection: Collection) -> list[int]:
    """Of the collection's passages those whose file is in the store still."""
    return [row for row, one in enumerate(collection.passages) if one.file_id in store.files]


def _ids(store: StoreState, collection: Collection) -> list[int]:
    """Of the same passages, the ids that they have in the store."""
    spans = {
        name: (i for first_id, count in file.spans for i in range(first_id, first_id + count))
        for name, file in store.files.items()
    }
    return [next(spans[collection.passages[row].file_id]) for row in _rows(store, collection)]

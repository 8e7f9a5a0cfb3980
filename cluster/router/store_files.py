"""Files that are in vector stores: looked at, changed, and gone at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.router.additions import Additions
from cluster.router.admission import find_store
from cluster.router.ledger import Ledger
from cluster.router.machine.store_events import FileChanged, FileRemoved
from cluster.router.machine.store_state import COMPLETED, Span, StoreFile, StoreState
from cluster.router.wire import Wire
from configs.outside import shown
from workers.errors import InvalidRequest, NotFound
from workers.node import Node


class StoreFiles:
    """Of all stores of a cluster. Raises NotFound for an unknown store or file."""

    def __init__(
        self,
        node: Node,
        wire: Wire,
        ledger: Ledger,
        additions: Additions,
        servers: tuple[str, ...],
    ) -> None:
        self._node, self._wire, self._ledger = node, wire, ledger
        self._additions, self._servers = additions, servers

    def _store(self, store_id: str) -> StoreState:
        return find_store(self._ledger.state, store_id)

    def _file(self, store: StoreState, file_id: str) -> StoreFile:
        if file_id not in store.files:
            text = f"no file {shown(file_id)} in vector store {store.store_id!r}"
            raise NotFound(text, param="file_id")
        return store.files[file_id]

    async def remove(self, store_id: str, file_id: str) -> None:
        """No search finds it from now on, and its addition ends. The memory servers let go of it in
        time.
        """
        store = self._store(store_id)
        self._file(store, file_id)
        self._remove(store, file_id)
        await self._ledger.committed()

    async def remove_everywhere(self, file_id: str) -> None:
        """See `remove`."""
        for store in self._ledger.state.stores.values():
            if file_id in store.files:
                self._remove(store, file_id)
        await self._ledger.committed()

    def _remove(self, store: StoreState, file_id: str) -> None:
        spans = list(store.files[file_id].spans)
        self._ledger.happened(FileRemoved(self._node.clock.now(), store.store_id, file_id))
        for first_id, count in spans:
            self._additions.take_back(store.store_id, first_id, count)

    # -- looking -----------------------------------------------------------------------------------

    async def change(self, store_id: str, file_id: str, attributes: Mapping[str, Any]) -> None:
        store = self._store(store_id)
        self._file(store, file_id)
        now_ns = self._node.clock.now()
        self._ledger.happened(FileChanged(now_ns, store_id, file_id, attributes))
        await self._ledger.committed()

    async def read(self, store_id: str, file_id: str, wanted: range, deadline_ns: int) -> list[str]:
        """Its passages in order, of those that are counted by `wanted`."""
        store = self._store(store_id)
        file = self._file(store, file_id)
        if file.status != COMPLETED:
            text = (
                f"file {shown(file_id)} is {file.status}: its content is there when it is completed"
            )
            raise InvalidRequest(text, param="file_id")
        texts: dict[int, str] = {}
        for first_id, count in spans_within(file.spans, wanted):
            for server in self._servers:
                told = await self._wire.read(server, store_id, first_id, count, deadline_ns)
                texts.update(told)
        return [texts[passage_id] for passage_id in sorted(texts)]


def spans_within(spans: Sequence[Span], wanted: range) -> list[Span]:
    """Of passages that are counted over all spans, those that are wanted."""
    found: list[Span] = []
    before = 0
    for first_id, count in spans:
        begin, end = max(0, wanted.start - before), min(count, wanted.stop - before)
        if begin < end:
            found.append((first_id + begin, end - begin))
        before += count
    return found

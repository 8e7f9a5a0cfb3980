"""Passages on their way to the memory servers: all of an addition can be found in the end, or none
of it is held anywhere.

    announced ─▶ sent, server by server ─▶ FilesAdded
                    │ failed, too late, or the router died
                    ▼
                 taken back, until every server has heard ─▶ PassagesDropped
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from cluster.retrieval.passages import Passage
from cluster.retrieval.spread import partition
from cluster.router.ledger import Ledger
from cluster.router.machine.store_events import (
    FilesAdded,
    PassagesAnnounced,
    PassagesDropped,
    PassagesStored,
)
from cluster.router.machine.store_state import Span, StoreState
from cluster.router.servers import tell_each, until_heard
from cluster.router.wire import Wire
from workers.errors import DeadlineExceeded, NotFound, PeerDead
from workers.node import Node

# One message carries this many passages at most: bounds the frame, and interleaves with searches.
PASSAGES_PER_MESSAGE = 1024
Vectors = NDArray[np.float32]
Embed = Callable[[StoreState, list[str]], Awaitable[Vectors]]


@dataclass(frozen=True, slots=True)
class Addition:
    """Files and all their passages.

    vectors     of some passages, the first of which is the n'th of all: made when they are sent, so
                that few are in memory
    check       raises if they are not wanted any more
    preloaded   they were there before time began
    """

    file_ids: Sequence[str]
    passages: Sequence[Passage]
    vectors: Callable[[int, Sequence[Passage]], Awaitable[Vectors]]
    check: Callable[[], None]
    preloaded: bool = False

    def spans(self, first_id: int) -> dict[str, list[Span]]:
        """Of each file, if its first passage has this id."""
        spans: dict[str, list[Span]] = {file_id: [] for file_id in self.file_ids}
        for file_id, run in groupby(self.passages, lambda passage: passage.file_id):
            count = sum(1 for _ in run)
            spans[file_id].append((first_id, count))
            first_id += count
        return spans


class Additions:
    """Of all stores of a cluster."""

    def __init__(self, node: Node, wire: Wire, ledger: Ledger, servers: tuple[str, ...]) -> None:
        self._node, self._wire, self._ledger, self._servers = node, wire, ledger, servers
        self._under_way: set[tuple[str, int]] = set()  # (store, first passage id)

    async def add(self, store: StoreState, addition: Addition, deadline_ns: int) -> None:
        """What raises has left nothing to find, and what it left with the servers is taken back."""
        # Ids are taken before anything is sent, so that passages that come meanwhile get ids of
        # their own; and after a crash too, so that none is ever given to another passage.
        store_id, first_id = store.store_id, store.next_passage_id
        count = len(addition.passages)
        announced = PassagesAnnounced(self._node.clock.now(), store_id, first_id, count)
        self._ledger.happened(announced)
        self._under_way.add((store_id, first_id))
        num_fills = store.num_fills
        try:
            await self._ledger.committed()
            await self._send(store, first_id, addition, deadline_ns)
            addition.check()
            if store.num_fills != num_fills and not addition.preloaded:
                # What a server had of it before it was lost is on no disk any more.
                raise PeerDead(f"a memory server of {store_id!r} was lost meanwhile", node="")
            now_ns, spans = self._node.clock.now(), addition.spans(first_id)
            self._ledger.happened(FilesAdded(now_ns, store_id, first_id, count, spans))
        except Exception:
            self.take_back(store_id, first_id, count)
            raise
        finally:
            self._under_way.discard((store_id, first_id))
        await self._ledger.committed()

    def check(self, store: StoreState, deadline_ns: int) -> None:
        """Whoever waited asks again whether it may go on. Raises NotFound or DeadlineExceeded."""
        if self._ledger.state.stores.get(store.store_id) is not store:
            raise NotFound(f"vector store {store.store_id!r} was deleted meanwhile", param="store")
        if self._node.clock.wall_now() > deadline_ns:
            raise DeadlineExceeded(f"the deadline at {deadline_ns / 1e9:g} s passed")

    async def _send(
        self, store: StoreState, first_id: int, addition: Addition, deadline_ns: int
    ) -> None:
        for start in range(0, len(addition.passages), PASSAGES_PER_MESSAGE):
            batch = addition.passages[start : start + PASSAGES_PER_MESSAGE]
            vectors = await addition.vectors(start, batch)
            addition.check()
            ids = range(first_id + start, first_id + start + len(batch))
            parts = partition(ids, len(self._servers))
            for server, rows in zip(self._servers, parts, strict=True):
                if not rows:
                    continue
                held_bytes = await self._wire.add_passages(
                    server,
                    store.store_id,
                    [ids[row] for row in rows],
                    [batch[row] for row in rows],
                    vectors[rows],
                    deadline_ns,
                    preloaded=addition.preloaded,
                )
                addition.check()
                self._stored(store, server, held_bytes)

    def _stored(self, store: StoreState, server: str, held_bytes: int) -> None:
        now_ns = self._node.clock.now()
        self._ledger.happened(PassagesStored(now_ns, store.store_id, server, held_bytes))

    # -- back --------------------------------------------------------------------------------------

    def take_back(self, store_id: str, first_id: int, count: int) -> None:
        """In a task of its own, until every server has heard; one that is gone hears on its return
        (`server_joined`).
        """
        addition = store_id, first_id, count
        until_heard(
            self._node,
            "take back",
            store_id,
            lambda: self._failed(*addition) is not None,
            lambda: self._take_back(*addition),
        )

    def server_joined(self) -> None:
        """A memory server is back: it may still hold what failed meanwhile."""
        for store in self._ledger.state.stores.values():
            for first_id, count in store.unfinished:
                self.take_back(store.store_id, first_id, count)

    def _failed(self, store_id: str, first_id: int, count: int) -> StoreState | None:
        """The store, if such an addition to it failed and servers may still hold some of it."""
        store = self._ledger.state.stores.get(store_id)
        if store is None or (store_id, first_id) in self._under_way:
            return None
        return store if (first_id, count) in store.unfinished else None

    async def _take_back(self, store_id: str, first_id: int, count: int) -> None:
        """See `tell_each`."""

        async def tell(server: str) -> None:
            with suppress(NotFound):  # it never heard of the store
                held_bytes = await self._wire.take_back(server, store_id, first_id, count)
                if (store := self._failed(store_id, first_id, count)) is not None:
                    self._stored(store, server, held_bytes)

        await tell_each(self._servers, tell)
        if self._failed(store_id, first_id, count) is not None:  # else somebody was faster
            now_ns = self._node.clock.now()
            self._ledger.happened(PassagesDropped(now_ns, store_id, first_id, count))

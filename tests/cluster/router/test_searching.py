"""Passages that are nobody's to find do not take the places of those that are."""

import asyncio
from typing import Any

import numpy as np

from cluster.router.machine.state import StoreState
from cluster.router.searching import find
from workers.memory.hit import Hit
from workers.wire.kinds.memory import Hits


class Servers:
    """Passage i scores 100 - i; each server answers with the best of its own."""

    def __init__(self, passages: dict[str, list[int]]) -> None:
        self._passages = passages
        self.asked: list[tuple[str, int]] = []
        self.num_abandoned = 0

    async def ask_hits(
        self,
        server: str,
        store_id: str,
        queries: Any,
        top_k: int,
        deadline_ns: int,
        request_id: str,
    ) -> "Answer":
        self.asked.append((server, top_k))
        best = sorted(self._passages[server])[:top_k]
        return Answer(self, tuple(Hit(i, 100.0 - i, f"passage {i}") for i in best))


class Answer:
    def __init__(self, servers: Servers, hits: tuple[Hit, ...]) -> None:
        self._servers, self._hits = servers, hits

    async def reply(self) -> Hits:
        return Hits((self._hits,))

    def abandon(self) -> None:
        self._servers.num_abandoned += 1


def found(servers: Servers, store: StoreState, top_k: int) -> list[int]:
    names = sorted(servers._passages)
    query = np.zeros((1, 4), np.float32)
    wire: Any = servers
    return [
        hit.passage_id for hit in asyncio.run(find(wire, names, store, query, top_k, 10**9, "r"))
    ]


def test_what_can_be_found_is_found_at_once() -> None:
    servers = Servers({"a": [0, 2, 4], "b": [1, 3, 5]})
    store = StoreState("s", "s", "hashing", starts=[0], ends=[6])
    assert found(servers, store, 2) == [0, 1]
    assert servers.asked == [("a", 2), ("b", 2)]
    assert servers.num_abandoned == 2, "no call is left open"


def test_twice_as_many_are_asked_for_until_enough_are_found() -> None:
    """Passages 0-4 are of a file that is being added. Of the best 2 and the best 4 none can be
    found, of the best 8 there are 5, 6 and 7.
    """
    servers = Servers({"a": list(range(20))})
    store = StoreState("s", "s", "hashing", starts=[5], ends=[20])
    assert found(servers, store, 2) == [5, 6]
    assert [top_k for _, top_k in servers.asked] == [2, 4, 8]


def test_a_store_that_holds_too_few_gives_what_it_has() -> None:
    """Three passages, one of which can be found: the second answer has fewer than asked for."""
    servers = Servers({"a": [0, 1, 2]})
    store = StoreState("s", "s", "hashing", starts=[2], ends=[3])
    assert found(servers, store, 2) == [2]
    assert [top_k for _, top_k in servers.asked] == [2, 4]

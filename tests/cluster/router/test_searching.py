"""Passages that are nobody's to find do not take the places of those that are."""

import asyncio
from typing import Any

import numpy as np

from cluster.router.machine.store_state import StoreFile, StoreState
from cluster.router.searchers import Near
from cluster.router.searching import find
from workers.memory.hit import Hit
from workers.wire.kinds.memory import Hits, Search


class Servers:
    """Passage i scores 100 - i; each server answers with the best of its own."""

    def __init__(self, passages: dict[str, list[int]]) -> None:
        self._passages = passages
        self.asked: list[tuple[str, int]] = []
        self.num_abandoned = 0

    async def ask_hits(
        self, server: str, search: Search, deadline_ns: int, request_id: str
    ) -> "Answer":
        self.asked.append((server, search.top_k))
        spans = list(zip(search.first.tolist(), search.stop.tolist(), strict=True))
        best = sorted(
            i
            for i in self._passages[server]
            if not spans or any(first <= i < stop for first, stop in spans)
        )[: search.top_k]
        return Answer(self, tuple(Hit(i, 100.0 - i, f"passage {i}") for i in best))


class Answer:
    def __init__(self, servers: Servers, hits: tuple[Hit, ...]) -> None:
        self._servers, self._hits = servers, hits

    async def reply(self) -> Hits:
        return Hits((self._hits,))

    def abandon(self) -> None:
        self._servers.num_abandoned += 1


def found(servers: Servers, store: StoreState, top_k: int, narrowing: Any = None) -> list[int]:
    names = sorted(servers._passages)
    query = np.zeros((1, 4), np.float32)
    wire: Any = servers
    return [
        hit.passage_id
        for hit in asyncio.run(find(Near(wire, names), store, query, top_k, 10**9, "r", narrowing))[
            0
        ]
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


def test_only_files_that_fit_are_looked_at() -> None:
    """Passages 0-9 are of 2023, 10-19 of 2024; 12 and 13 went meanwhile."""
    servers = Servers({"a": list(range(0, 20, 2)), "b": list(range(1, 20, 2))})
    store = StoreState("s", "s", "hashing", starts=[0, 10, 14], ends=[10, 12, 20])
    store.files["old"] = StoreFile("old", attributes={"year": 2023}, spans=[(0, 10)])
    store.files["new"] = StoreFile("new", attributes={"year": 2024}, spans=[(10, 2), (14, 6)])
    later = {"type": "gt", "key": "year", "value": 2023}
    assert found(servers, store, 4, later) == [10, 11, 14, 15]
    assert servers.asked == [("a", 4), ("b", 4)]
    assert found(servers, store, 4, {"type": "gt", "key": "year", "value": 2024}) == []
    assert len(servers.asked) == 2, "nobody is asked for what nobody has"

"""A collection with an index, spread over two memory servers of a whole cluster."""

from typing import Any

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.perfuse_tiny import load_questions
from tests.cluster.router.test_lost_disks import bring_again, move
from tests.cluster.worlds.cluster import run, settle, with_cards, workers_of
from workers.memory.index import choice
from workers.memory.memory_server import MemoryServer

CARDS: dict[str, Any] = {"path": "perfuse-tiny corpus", "embedder": "hashing"}
QUESTIONS = [(q.question, q.card) for q in load_questions() if q.card is not None][:60]


def train_early(monkeypatch) -> None:
    monkeypatch.setattr(choice, "ROWS_MIN", 500)
    monkeypatch.setattr(choice, "POINTS_PER_CENTROID_MIN", 4)


def cards(index: str) -> Blueprint:
    sizes = {"index": index, "nlist": 32, "nprobe": 8}
    more = {"placement.collections": {"cards": {**CARDS, **sizes}}, "placement.kv_pool": False}
    return with_cards(more)


async def found(world: VirtualWorld) -> list[bool]:
    """Whether each question's card is among the best three."""
    right = []
    for question, card in QUESTIONS:
        hits = await world.client.search("cards", question, 3)
        right.append(card in [int(hit.passage_id) for hit in hits])
    return right


@pytest.mark.parametrize("index", ["ivf_flat", "ivf_pq"])
def test_every_server_indexes_its_part_and_answers_are_merged(index: str, monkeypatch) -> None:
    """1,100 cards each, of which a scan finds all that are asked for."""
    train_early(monkeypatch)
    told: list[int] = []

    async def job(world: VirtualWorld) -> None:
        right = await found(world)
        # Small parts, a quarter of whose lists are read: most are found.
        assert sum(right) >= 0.8 * len(right)
        for server in workers_of(world, MemoryServer).values():
            quantizer = server._shards["cards"].quantizer
            assert quantizer is not None and (quantizer.codebooks is None) == (index == "ivf_flat")
            told.append(quantizer.num_rows)
        await settle(world)

    run(cards(index), job)
    assert len(told) == 2 and min(told) >= 500


def test_a_server_on_another_machine_gets_its_part_with_the_same_index(monkeypatch) -> None:
    train_early(monkeypatch)

    async def job(world: VirtualWorld) -> None:
        before = await found(world)
        old = workers_of(world, MemoryServer)["memory-1"]._shards["cards"].quantizer
        await move(world, "pnm-0")
        await bring_again(world)
        new = workers_of(world, MemoryServer)["memory-1"]._shards["cards"].quantizer
        assert old is not None and new is not None and old.pack() == new.pack()
        assert await found(world) == before

    run(cards("ivf_pq"), job)

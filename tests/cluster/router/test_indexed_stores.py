"""A collection with an index, spread over two memory servers of a whole cluster."""

from typing import Any

import pytest

from cluster.worlds.virtual import VirtualWorld
from configs.perfuse_tiny import load_questions
from tests.cluster.worlds.cluster import run, settle, with_cards, workers_of
from workers.memory.index import choice
from workers.memory.memory_server import MemoryServer

CARDS: dict[str, Any] = {"path": "perfuse-tiny corpus", "embedder": "hashing"}
QUESTIONS = [(q.question, q.card) for q in load_questions() if q.card is not None][:60]


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
    monkeypatch.setattr(choice, "ROWS_MIN", 500)
    monkeypatch.setattr(choice, "POINTS_PER_CENTROID_MIN", 4)
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

    sizes = {"index": index, "nlist": 32, "nprobe": 8}
    run(with_cards({"placement.collections": {"cards": {**CARDS, **sizes}}}), job)
    assert len(told) == 2 and min(told) >= 500

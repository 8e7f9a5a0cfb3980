"""A collection with an index, spread over two memory servers of a whole cluster."""

from typing import Any

import pytest

from cluster.gateway.store_client import Document
from cluster.retrieval.index_folder import CollectionError
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.perfuse_tiny import load_questions
from tests.cluster.router.test_lost_disks import bring_again, move
from tests.cluster.worlds.cluster import run, settle, with_cards, workers_of
from workers.errors import InvalidRequest
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


@pytest.mark.parametrize("index", [{}, {"kind": "ivf_flat", "nlist": 4}])
def test_a_store_of_a_user_is_trained_as_soon_as_it_is_large_enough(
    index: dict[str, Any], monkeypatch
) -> None:
    """600 lines over two servers, of which 250 are enough; both find what is asked for."""
    monkeypatch.setattr(choice, "ROWS_MIN", 250)
    monkeypatch.setattr(choice, "POINTS_PER_CENTROID_MIN", 4)
    text = "\n".join(f"Card {i} of the {i * 7919} costs {i * 31} coins." for i in range(600))

    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("mine", index=index)
        await world.client.add_documents(store.store_id, [Document("f", "f.txt", text)])
        await settle(world)
        for server in workers_of(world, MemoryServer).values():
            quantizer = server._shards[store.store_id].quantizer
            assert (quantizer is not None) == bool(index)
        (hit,) = await world.client.search(store.store_id, "Card 17 of the 134623", 1)
        assert hit.text.startswith("Card 17 ")

    run(with_cards({"placement.kv_pool": False}), job)


@pytest.mark.parametrize(
    ("index", "changes", "told"),
    [
        ({"kind": "ivf_pq", "m": 7}, {}, "m is 7: it must divide the 1024"),
        ({"kind": "ivf_flat"}, {"placement.search": "ship"}, "only exact can be"),
        ({"kind": "hnsw"}, {}, "it is none that there is"),
    ],
)
def test_an_index_that_cannot_be_leaves_no_store(
    index: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    async def job(world: VirtualWorld) -> None:
        before = [store.store_id for store in await world.client.stores()]
        with pytest.raises(InvalidRequest, match=told):
            await world.client.create_store("mine", index=index)
        assert [store.store_id for store in await world.client.stores()] == before
        await settle(world)

    run(with_cards(changes), job)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        # 2,193 cards of 4 KiB over two servers.
        ({"cluster.nodes.hbf.device.tiers.hbf.capacity": "4 MB"}, "4.5. MB of vectors do not fit"),
        ({"placement.collections.cards": {**CARDS, "index": "ivf_flat", "nlist": 29}}, "nlist is"),
        ({"placement.collections.cards": {**CARDS, "path": "/nowhere"}}, "/nowhere does not exist"),
    ],
)
def test_a_collection_that_cannot_be_names_its_key(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(CollectionError, match=rf"^placement\.collections\.cards: .*{told}"):
        run(with_cards(changes), settle)

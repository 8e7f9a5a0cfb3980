"""What a router answers beside generating: stores, and how the cluster is."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import (
    ask,
    blueprint,
    request,
    run,
    settle,
    workers_of,
)
from workers.chip.chip import Chip

NO_POOL = {"placement.kv_pool": False}


def test_stores_are_made_filled_searched_and_deleted() -> None:
    from cluster.gateway.store_client import Document
    from workers.errors import InvalidRequest, NotFound

    async def job(world: VirtualWorld) -> None:
        client = world.client
        store = await client.create_store("notes")
        documents = [
            Document(f"f{i}", f"{word}.txt", f"The {word} is number {i}.")
            for i, word in enumerate(("otter", "walnut", "zeppelin"))
        ]
        filled = await client.add_documents(store.store_id, documents)
        assert filled.num_files == 3 and filled.num_passages == 3 and filled.usage_bytes > 0
        hits = await client.search(store.store_id, "walnut", 2)
        assert hits[0].filename == "walnut.txt" and len(hits) == 2
        assert await client.add_documents(store.store_id, documents[1:2]) == filled
        with pytest.raises(InvalidRequest, match="top_k is 0"):
            await client.search(store.store_id, "x", 0)
        await client.delete_store(store.store_id)
        with pytest.raises(NotFound):
            await client.search(store.store_id, "x", 1)
        assert [s.store_id for s in await client.stores()] == []
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_a_chip_that_cannot_be_reached_counts_nothing_in_the_state() -> None:
    async def job(world: VirtualWorld) -> None:
        state = await world.client.state()
        assert not state.draining and state.kv_usage == 0.0
        assert not any((await world.client.held_everywhere()).values())

    cut = {"type": "partition", "source": "decode-1", "destination": "router"}
    run(blueprint({**NO_POOL, "faults": [cut]}), job)


def test_the_state_says_what_is_going_on() -> None:
    async def job(world: VirtualWorld) -> None:
        task = world.gateway.spawn(ask(world, request("r", max_tokens=40)), "r")
        await world.clock.wait_until(world.clock.now() + 400_000)
        state = await world.client.state()
        assert state.num_running == 1 and 0 < state.kv_usage < 1 and not state.draining
        await task
        await settle(world)
        state = await world.client.state()
        assert (state.num_running, state.kv_usage) == (0, 0.0)
        assert [m["id"] for m in await world.client.models()] == ["perfuse-tiny"]
        assert all(not any(c.held().values()) for c in workers_of(world, Chip).values())

    run(blueprint(NO_POOL), job)


@pytest.mark.parametrize(
    ("dead", "lack"),
    [
        (("decode-1",), ""),  # another one decodes
        (("prefill-0",), "no prefill chip lives"),
        (("experts-1",), "the experts of experts-1 are nowhere else"),
        (("hbf-0",), ""),  # only retrieval needs it
    ],
)
def test_the_state_says_what_nobody_can_be_served_without(dead: tuple[str, ...], lack: str) -> None:
    async def job(world: VirtualWorld) -> None:
        assert (await world.client.state()).lack == ""
        for node in dead:
            await world.kill(node)
        assert (await world.client.state()).lack == lack

    run(blueprint(NO_POOL), job)

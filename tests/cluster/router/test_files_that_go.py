"""Files of stores are gone when that was answered, whatever dies meanwhile."""

import asyncio

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.files_of_stores import files, found
from tests.cluster.router.outage import Outage, router_of
from tests.cluster.router.test_stores_and_losses import (
    CALL_NS,
    NO_POOL,
    SERVERS,
    _Lost,
    assert_whole,
    document,
    passages_held,
    passages_of,
    wait,
)
from tests.cluster.worlds.cluster import blueprint, run, settle, with_cards
from workers.errors import Cancelled, DeadlineExceeded, NotFound
from workers.wire.rules import Delay, Drop


def test_a_removed_file_is_found_no_more_and_held_by_nobody() -> None:
    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        await client.add_documents(store, [document("f1"), document("f2")])
        (before,) = await client.stores()
        await client.remove_file(store, "f1")
        assert await found(world, store) == ["f2"]
        for gone in (client.remove_file(store, "f1"), client.read_file(store, "f1")):
            with pytest.raises(NotFound, match="no file 'f1' in vector store"):
                await gone
        await wait(world, CALL_NS)
        (after,) = await client.stores()
        assert sum(passages_held(world)) == after.num_passages == before.num_passages // 2
        assert 0 < after.usage_bytes < before.usage_bytes
        await client.add_documents(store, [document("f1")])
        assert await found(world, store) == ["f1", "f2"]
        await settle(world)

    run(blueprint(NO_POOL), job)


@pytest.mark.parametrize("dead", [*SERVERS, "router"])
def test_a_removed_file_does_not_come_back_with_who_was_away(dead: str) -> None:
    """A memory server's disk has it still when it returns."""

    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        await client.add_documents(store, [document("f1"), document("f2")])
        num_passages = (await client.stores())[0].num_passages // 2
        if dead == "router":  # before the servers have heard
            rules = world.nodes["router"].endpoint.rules
            rules["lost"] = _Lost("hbf-0", ("shard_take_back",), Drop())
            await client.remove_file(store, "f1")
            await world.kill(dead)
        else:
            await world.kill(dead)
            await client.remove_file(store, "f1")
        await wait(world, 50_000)
        await world.revive(dead)
        assert await found(world, store) == ["f2"]
        await wait(world, 2 * CALL_NS)
        assert sum(passages_held(world)) == num_passages
        assert router_of(world).state.stores[store].unfinished == []
        assert await found(world, store) == ["f2"]
        await settle(world)

    run(blueprint({**NO_POOL, "slo.deadline": f"{4 * CALL_NS} ns"}), job)


@pytest.mark.parametrize("after_ns", [1_000, 20_000, 40_000, 60_000, 100_000])
@pytest.mark.parametrize("how", ["remove", "forget", "cancel"])
def test_an_addition_ends_when_its_file_goes(how: str, after_ns: int) -> None:
    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        await client.begin_files(store, [document()], 0)
        await wait(world, after_ns)
        (before,) = await files(world, store)
        if how == "cancel":
            await client.cancel_files(store, ["f1", "f2"])
        else:
            gone = client.remove_file(store, "f1") if how == "remove" else client.forget_file("f1")
            await gone
        is_late = before.status == "completed" and how == "cancel"
        assert await found(world, store) == (["f1"] if is_late else [])
        await wait(world, CALL_NS)
        left = [file.status for file in await files(world, store)]
        assert left == ([] if how != "cancel" else ["completed" if is_late else "cancelled"])
        assert sum(passages_held(world)) == (num_passages if is_late else 0)
        await client.add_documents(store, [document()])
        await assert_whole(world, store, num_passages)
        await settle(world)

    num_passages = passages_of(document())
    run(blueprint(NO_POOL), job)


def test_an_addition_that_comes_after_its_file_was_deleted_is_refused() -> None:
    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        world.gateway.endpoint.rules["late"] = _Lost("router", ("store_add",), Delay(CALL_NS))
        beginning = asyncio.ensure_future(client.begin_files(store, [document()], 0))
        await wait(world, 1_000)
        await client.forget_file("f1")
        with pytest.raises((Cancelled, DeadlineExceeded)):
            await beginning
        await wait(world, 3 * CALL_NS)
        assert await files(world, store) == [] and passages_held(world) == [0, 0]
        await settle(world)

    run(blueprint({**NO_POOL, "slo.deadline": f"{4 * CALL_NS} ns"}), job)


def test_a_file_that_was_removed_from_a_preloaded_store_stays_away() -> None:
    """The store is whole without it."""

    async def job(world: VirtualWorld) -> None:
        client, query = world.client, "What is the price of Rasavan-65?"
        first = (await client.search("cards", query, 1))[0]
        await client.remove_file("cards", first.file_id)
        outage = await Outage.begin(world)
        await outage.over()
        await world.crews[outage.name].preload()
        hits = await client.search("cards", query, 100)
        assert first.file_id not in {hit.file_id for hit in hits}
        await settle(world)

    run(with_cards(NO_POOL), job)

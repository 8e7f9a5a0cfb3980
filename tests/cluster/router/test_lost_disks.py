"""A node whose machine is gone for good comes back on another, with an empty disk."""

import pytest

from cluster.gateway.store_client import Document
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.worlds.cluster import run, settle, with_cards, workers_of
from workers.errors import NotFound, PeerDead
from workers.host.disk import MemoryDisk
from workers.memory.memory_server import MemoryServer

NO_POOL = {"placement.kv_pool": False}
NODE, SERVER = "pnm-0", "memory-1"
QUERY = "What is the price of Rasavan-65?"


async def move(world: VirtualWorld, node: str) -> None:
    """Another machine has nothing of it."""
    await world.kill(node)
    world.host.disks[node] = MemoryDisk()
    await world.revive(node)


def held(world: VirtualWorld) -> dict[str, int]:
    return {
        name: sum(shard.num_passages for shard in server._shards.values())
        for name, server in workers_of(world, MemoryServer).items()
    }


async def bring_again(world: VirtualWorld) -> None:
    await world.crews[world.blueprint.plan.directory["router"]].preload(again=True)


async def found(world: VirtualWorld) -> list[str]:
    return [hit.text for hit in await world.client.search("cards", QUERY, 10)]


def test_a_memory_server_on_another_machine_is_given_its_part_again() -> None:
    async def job(world: VirtualWorld) -> None:
        before, hits = held(world), await found(world)
        await move(world, NODE)
        assert held(world)[SERVER] == 0 < before[SERVER]
        with pytest.raises(NotFound, match="has no vector store 'cards'"):
            await found(world)
        await bring_again(world)
        assert held(world) == before and await found(world) == hits
        await settle(world)

    run(with_cards(NO_POOL), job)


def test_while_it_comes_searching_is_refused() -> None:
    async def job(world: VirtualWorld) -> None:
        hits = await found(world)
        await move(world, NODE)
        refused = []
        stores = router_of(world).stores
        fill = router_of(world).preloading._fill

        async def fill_and_search(*what) -> None:
            await fill(*what)
            with pytest.raises(PeerDead, match="'cards' came back with an empty disk"):
                refused.append(await found(world))

        setattr(router_of(world).preloading, "_fill", fill_and_search)  # noqa: B010
        await bring_again(world)
        assert not refused and stores.brought_again == {} and await found(world) == hits

    run(with_cards(NO_POOL), job)


def test_half_of_it_from_a_time_that_was_cut_short_is_brought_whole() -> None:
    async def job(world: VirtualWorld) -> None:
        before, hits = held(world), await found(world)
        server = workers_of(world, MemoryServer)[SERVER]
        shard = server._shards["cards"]
        ids = [i for part in shard.pieces() for i in part[0].tolist()]
        await router_of(world).wire.take_back(SERVER, "cards", ids[3], 1)
        assert held(world)[SERVER] == before[SERVER] - 1
        await bring_again(world)
        assert held(world) == before and await found(world) == hits

    run(with_cards(NO_POOL), job)


def test_files_that_came_later_are_not_made_up() -> None:
    async def job(world: VirtualWorld) -> None:
        words = " ".join(f"Card {i} costs {i * 7} coins." for i in range(600))
        await world.client.add_documents("cards", [Document("f1", "f1.txt", words)])
        await move(world, NODE)
        with pytest.raises(NotFound, match=r"files that were added to it \(f1\)"):
            await bring_again(world)
        with pytest.raises(NotFound):
            await found(world)

    run(with_cards(NO_POOL), job)


def test_a_router_on_another_machine_finds_none_of_what_it_does_not_know() -> None:
    """Its new store has the name of an old one, and not its passages."""

    async def job(world: VirtualWorld) -> None:
        before, hits = held(world), await found(world)
        old = await world.client.create_store("old")
        words = " ".join(f"Card {i} costs {i * 7} coins." for i in range(600))
        await world.client.add_documents(old.store_id, [Document("f1", "f1.txt", words)])
        await move(world, world.blueprint.plan.directory["router"])
        await bring_again(world)
        assert held(world) == before and await found(world) == hits
        new = [await world.client.create_store(name) for name in ("a", "b")]
        assert old.store_id in [one.store_id for one in new]
        for one in new:
            assert await world.client.search(one.store_id, "card costs coins", 10) == []
        await settle(world)

    run(with_cards(NO_POOL), job)

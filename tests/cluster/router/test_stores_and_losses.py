"""Vector stores while memory servers and the router die and return: files are found whole or not at
all, and what was deleted is let go of.
"""

import asyncio

import pytest

from cluster.gateway.client import Document
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.worlds.cluster import blueprint, run, settle, workers_of
from workers.errors import InvalidRequest, NotFound, PeerDead
from workers.memory.memory_server import MemoryServer

NO_POOL = {"placement.kv_pool": False}
SERVERS = ("hbf-0", "pnm-0")


def document(name: str = "f1") -> Document:
    """About twenty passages."""
    words = " ".join(f"Card {i} of {name} costs {i * 7} coins." for i in range(600))
    return Document(name, f"{name}.txt", words)


async def wait(world: VirtualWorld, for_ns: int) -> None:
    await world.clock.wait_until(world.clock.now() + for_ns)


def shards(world: VirtualWorld) -> list[list[str]]:
    return [list(server._shards) for server in workers_of(world, MemoryServer).values()]


async def assert_whole(world: VirtualWorld, store_id: str, num_passages: int) -> None:
    (told,) = await world.client.stores()
    assert (told.num_files, told.num_passages) == (1, num_passages)
    hits = await world.client.search(store_id, "card costs coins", 100)
    assert len(hits) == len({hit.text for hit in hits}) == num_passages


def passages_of(one: Document) -> int:
    async def job(world: VirtualWorld) -> int:
        store = await world.client.create_store("s")
        return (await world.client.add_documents(store.store_id, [one])).num_passages

    return run(blueprint(NO_POOL), job)


def test_a_file_is_added_once() -> None:
    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("s")
        add = world.client.add_documents
        told = await asyncio.gather(
            *(add(store.store_id, [document()]) for _ in range(2)), return_exceptions=True
        )
        (refused,) = (one for one in told if isinstance(one, BaseException))
        assert isinstance(refused, InvalidRequest) and "'f1' is in store" in str(refused)
        await settle(world)
        await assert_whole(world, store.store_id, num_passages)
        with pytest.raises(InvalidRequest, match="'f2' comes twice"):
            await world.client.add_documents(store.store_id, [document("f2"), document("f2")])
        await assert_whole(world, store.store_id, num_passages)

    num_passages = passages_of(document())
    assert num_passages > 10
    run(blueprint(NO_POOL), job)


@pytest.mark.parametrize("victim", [*SERVERS, "router"])
@pytest.mark.parametrize("after_ns", [3_000, 60_000, 100_000, 300_000])
def test_an_add_that_failed_leaves_nothing_to_find(victim: str, after_ns: int) -> None:
    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("s")
        add = world.client.add_documents(store.store_id, [document()])
        adding = asyncio.ensure_future(add)
        await wait(world, after_ns)
        await world.kill(victim)
        await wait(world, 50_000)
        await world.revive(victim)
        try:
            await adding
        except PeerDead:
            (told,) = await world.client.stores()
            assert (told.num_files, told.num_passages) in ((0, 0), (1, num_passages))
            found = await world.client.search(store.store_id, "card costs coins", 5)
            assert bool(found) == bool(told.num_files)
            if not told.num_files:
                await world.client.add_documents(store.store_id, [document()])
        await assert_whole(world, store.store_id, num_passages)
        await settle(world)

    num_passages = passages_of(document())
    run(blueprint(NO_POOL), job)


@pytest.mark.parametrize("dead", SERVERS)
def test_what_is_deleted_while_a_server_is_away_is_let_go_of_on_its_return(dead: str) -> None:
    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("s")
        await world.client.add_documents(store.store_id, [document()])
        await world.kill(dead)
        await world.client.delete_store(store.store_id)
        with pytest.raises(NotFound):
            await world.client.delete_store(store.store_id)
        with pytest.raises(PeerDead):
            await world.client.create_store("half")
        await world.revive(dead)
        await wait(world, 1_000_000)
        assert shards(world) == [[], []]
        assert router_of(world).state.dropped_stores == []
        await settle(world)

    run(blueprint(NO_POOL), job)

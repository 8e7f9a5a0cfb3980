"""Vector stores while memory servers and the router die and return: files are found whole or not at
all, and what was deleted is let go of.
"""

import asyncio
from typing import Any

import pytest

from cluster.gateway.store_client import Document
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.worlds.cluster import blueprint, run, settle, workers_of
from workers.errors import DeadlineExceeded, InvalidRequest, NotFound, PeerDead
from workers.memory.memory_server import MemoryServer
from workers.wire.message import Message
from workers.wire.rules import Delay, Drop, Pass, Verdict

NO_POOL = {"placement.kv_pool": False}
SERVERS = ("hbf-0", "pnm-0")
CALL_NS = 1_000_000


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
        told = await asyncio.gather(*(add(store.store_id, [document()]) for _ in range(3)))
        assert {(one.num_files, one.num_passages) for one in told} == {(1, num_passages)}
        assert sum(passages_held(world)) == num_passages
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


# -- all or nothing --------------------------------------------------------------------------------


class _Lost:
    """Some kinds to one node are lost, or come later by so much."""

    def __init__(self, node: str, kinds: tuple[str, ...], verdict: Verdict) -> None:
        self._node, self._kinds, self._verdict = node, kinds, verdict

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        is_hit = destination == self._node and message.kind in self._kinds
        return self._verdict if is_hit else Pass()


def passages_held(world: VirtualWorld) -> list[int]:
    servers = workers_of(world, MemoryServer).values()
    return [sum(s.num_passages for s in server._shards.values()) for server in servers]


@pytest.mark.parametrize("server", SERVERS)
def test_an_add_that_failed_on_one_server_is_taken_back_from_all(server: str) -> None:
    """The other one had its part: it holds 0 passages in the end, and the same file is added then
    as if nothing had been.
    """

    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("s")
        rules = world.nodes["router"].endpoint.rules
        rules["lost"] = _Lost(server, ("shard_add", "shard_take_back"), Drop())
        with pytest.raises(DeadlineExceeded):
            await world.client.add_documents(store.store_id, [document()])
        del rules["lost"]
        await wait(world, 10 * CALL_NS)
        assert passages_held(world) == [0, 0]
        assert router_of(world).state.stores[store.store_id].unfinished == []
        assert (await world.client.stores())[0].usage_bytes == 0
        await world.client.add_documents(store.store_id, [document()])
        await assert_whole(world, store.store_id, num_passages)
        assert sum(passages_held(world)) == num_passages
        await settle(world)

    num_passages = passages_of(document())
    run(blueprint({**NO_POOL, "slo.deadline": f"{4 * CALL_NS} ns"}), job)


def test_passages_that_come_after_they_were_taken_back_are_refused() -> None:
    """They are late by ten calls, and come to a server that was told to let go of them."""

    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("s")
        rules = world.nodes["router"].endpoint.rules
        rules["late"] = _Lost("pnm-0", ("shard_add",), Delay(10 * CALL_NS))
        with pytest.raises(DeadlineExceeded):
            await world.client.add_documents(store.store_id, [document()])
        del rules["late"]
        await wait(world, 20 * CALL_NS)
        assert passages_held(world) == [0, 0]
        await settle(world)

    run(blueprint({**NO_POOL, "slo.deadline": f"{4 * CALL_NS} ns"}), job)


def test_a_store_that_was_made_too_late_is_unmade() -> None:
    """Its user heard that it failed: no list shows it, and no server keeps it."""

    async def job(world: VirtualWorld) -> None:
        rules = world.nodes["router"].endpoint.rules
        rules["late"] = _Lost("pnm-0", ("shard_create",), Delay(10 * CALL_NS))
        with pytest.raises(DeadlineExceeded):
            await world.client.create_store("s")
        del rules["late"]
        await wait(world, 20 * CALL_NS)
        assert await world.client.stores() == [] and shards(world) == [[], []]
        assert router_of(world).state.dropped_stores == []
        await settle(world)

    run(blueprint({**NO_POOL, "slo.deadline": f"{4 * CALL_NS} ns"}), job)


@pytest.mark.parametrize("after_ns", [1_000, 20_000, 40_000, 60_000, 100_000])
def test_a_store_that_is_deleted_while_it_is_filled_is_gone_everywhere(after_ns: int) -> None:
    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("s")
        adding = asyncio.ensure_future(world.client.add_documents(store.store_id, [document()]))
        await wait(world, after_ns)
        await world.client.delete_store(store.store_id)
        with pytest.raises(NotFound):
            await adding
        await wait(world, 1_000_000)
        assert shards(world) == [[], []]
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_a_silent_server_holds_up_no_deletion() -> None:
    """It hears in time: 5 calls later, when it is there again."""

    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("s")
        rules, begun_ns = world.nodes["router"].endpoint.rules, world.clock.now()
        rules["lost"] = _Lost("hbf-0", ("shard_delete",), Drop())
        await world.client.delete_store(store.store_id)
        assert world.clock.now() - begun_ns < CALL_NS
        await wait(world, 5 * CALL_NS)
        assert shards(world) == [[store.store_id], []]
        del rules["lost"]
        await wait(world, 5 * CALL_NS)
        assert shards(world) == [[], []]
        await settle(world)

    run(blueprint({**NO_POOL, "slo.deadline": f"{4 * CALL_NS} ns"}), job)

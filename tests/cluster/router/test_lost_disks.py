"""A node whose machine is gone for good comes back on another, with an empty disk."""

import asyncio
from typing import Any

import pytest

from cluster.gateway.store_client import Document
from cluster.router.machine.store_events import FileEnded, FilesBegun
from cluster.router.machine.store_state import StoreFile
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.worlds.cluster import blueprint, run, settle, with_cards, workers_of
from workers.errors import DeadlineExceeded, NotFound, PeerDead
from workers.host.disk import MemoryDisk
from workers.memory.memory_server import MemoryServer

NO_POOL = {"placement.kv_pool": False}
NODE, SERVER = "pnm-0", "memory-1"
QUERY = "What is the price of Rasavan-65?"


def document(name: str) -> Document:
    words = " ".join(f"Card {i} of {name} costs {i * 7} coins." for i in range(600))
    return Document(name, f"{name}.txt", words)


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


def cut_after(world: VirtualWorld, num_messages: int) -> None:
    """The router gets no answer to what it sends after so many messages of passages."""
    wire = router_of(world).wire
    real, sent = wire.add_passages, []

    async def add(*what: Any, **how: Any) -> int:
        told = await real(*what, **how)
        sent.append(told)
        if len(sent) > num_messages:
            raise DeadlineExceeded("the answer was lost")
        return told

    setattr(wire, "add_passages", add)  # noqa: B010


async def assert_refused(world: VirtualWorld) -> None:
    with pytest.raises(PeerDead, match="memory-1 came back with an empty disk"):
        await found(world)


@pytest.mark.parametrize("num_messages", [0, 1])
def test_while_it_comes_nothing_is_searched_or_added_whoever_dies(num_messages: int) -> None:
    """All of it may have come, or half; the router that began it may be gone."""

    async def job(world: VirtualWorld) -> None:
        before, hits = held(world), await found(world)
        await move(world, NODE)
        cut_after(world, num_messages)
        with pytest.raises(DeadlineExceeded):
            await bring_again(world)
        await assert_refused(world)
        await world.kill("router")
        await world.revive("router")
        await assert_refused(world)
        with pytest.raises(PeerDead, match="memory-1 came back"):
            await world.client.add_documents("cards", [document("f1")])
        await bring_again(world)
        assert held(world) == before and await found(world) == hits
        await settle(world)

    run(with_cards(NO_POOL | {"cluster.router_journal": True}), job)


def test_twice_at_once_is_once() -> None:
    async def job(world: VirtualWorld) -> None:
        before, hits = held(world), await found(world)
        await move(world, NODE)
        await asyncio.gather(bring_again(world), bring_again(world))
        assert held(world) == before and await found(world) == hits

    run(with_cards(NO_POOL), job)


def test_files_that_came_later_are_not_made_up() -> None:
    async def job(world: VirtualWorld) -> None:
        await world.client.add_documents("cards", [document("f1")])
        await move(world, NODE)
        with pytest.raises(NotFound, match=r"has lost passages of files .* \(f1\)"):
            await bring_again(world)
        with pytest.raises(NotFound, match="no vector store"):
            await found(world)
        assert "f1" in router_of(world).state.stores["cards"].files, "nothing is thrown away"

    run(with_cards(NO_POOL), job)


def test_of_two_collections_one_that_cannot_come_keeps_no_other_away() -> None:
    one = {"path": "perfuse-tiny corpus", "embedder": "hashing"}

    async def job(world: VirtualWorld) -> None:
        hits = await world.client.search("more", QUERY, 10)
        await world.client.add_documents("cards", [document("f1")])
        await move(world, NODE)
        with pytest.raises(NotFound, match="'cards' has lost"):
            await bring_again(world)
        assert await world.client.search("more", QUERY, 10) == hits

    run(blueprint({**NO_POOL, "placement.collections": {"cards": one, "more": one}}), job)


def test_a_file_that_failed_is_missed_by_nobody() -> None:
    async def job(world: VirtualWorld) -> None:
        hits, ledger = await found(world), router_of(world).ledger
        ledger.happened(FilesBegun(1, "cards", {"bad.pdf": StoreFile("bad.pdf", 10)}))
        ledger.happened(FileEnded(1, "cards", "bad.pdf", "failed", "invalid_file", "no text"))
        await move(world, NODE)
        await bring_again(world)
        assert await found(world) == hits

    run(with_cards(NO_POOL), job)


def test_a_store_that_its_user_deleted_stays_deleted() -> None:
    async def job(world: VirtualWorld) -> None:
        await world.client.delete_store("cards")
        await settle(world)
        await move(world, NODE)
        await bring_again(world)
        assert not router_of(world).state.stores
        await settle(world)

    run(with_cards(NO_POOL), job)


def test_a_store_that_is_deleted_while_it_comes_ends_there() -> None:
    async def job(world: VirtualWorld) -> None:
        await move(world, NODE)
        wire = router_of(world).wire
        real = wire.create_store

        async def create(*what: Any) -> None:
            await real(*what)
            await world.client.delete_store("cards")

        setattr(wire, "create_store", create)  # noqa: B010
        with pytest.raises(NotFound, match="was deleted meanwhile"):
            await bring_again(world)
        await settle(world)
        assert not router_of(world).state.stores and sum(held(world).values()) == 0

    run(with_cards(NO_POOL), job)


def test_a_router_on_another_machine_finds_none_of_what_it_does_not_know() -> None:
    """Its new stores have names of old ones, and not their passages; two may be made at once."""

    async def job(world: VirtualWorld) -> None:
        before, hits = held(world), await found(world)
        old = await world.client.create_store("old")
        await world.client.add_documents(old.store_id, [document("f1")])
        await move(world, "router")
        await bring_again(world)
        assert held(world) == before and await found(world) == hits
        new = await asyncio.gather(*(world.client.create_store(name) for name in ("a", "b")))
        assert old.store_id in [one.store_id for one in new]
        for one in new:
            assert await world.client.search(one.store_id, "card costs coins", 10) == []
        await settle(world)

    run(with_cards(NO_POOL), job)


def test_while_a_lost_routers_collections_come_half_of_them_is_not_found() -> None:
    async def job(world: VirtualWorld) -> None:
        hits = await found(world)
        await move(world, "router")
        wire, refused = router_of(world).wire, []
        real = wire.add_passages

        async def add(*what: Any, **how: Any) -> int:
            told = await real(*what, **how)
            with pytest.raises(PeerDead):
                refused.append(await found(world))
            return told

        setattr(wire, "add_passages", add)  # noqa: B010
        await bring_again(world)
        assert not refused and await found(world) == hits

    run(with_cards(NO_POOL), job)


def test_an_addition_during_which_a_server_loses_its_disk_comes_to_nothing() -> None:
    """Its first half was on that disk."""

    async def job(world: VirtualWorld) -> None:
        wire = router_of(world).wire
        real, moved = wire.add_passages, []

        async def add(server: str, *what: Any, **how: Any) -> int:
            told = await real(server, *what, **how)
            if server == SERVER and not moved:
                moved.append(server)
                await move(world, NODE)
                await bring_again(world)
            return told

        setattr(wire, "add_passages", add)  # noqa: B010
        with pytest.raises(PeerDead, match="was lost meanwhile"):
            await world.client.add_documents("cards", [document("f1")])
        assert moved
        await settle(world)
        hits = await world.client.search("cards", "Card 5 of f1 costs 35 coins.", 10)
        assert "f1" not in {hit.file_id for hit in hits}

    run(with_cards(NO_POOL), job)

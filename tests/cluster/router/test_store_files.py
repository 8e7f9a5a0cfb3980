"""Files of stores: begun at once, found when they are completed, and gone when that was answered,
whatever dies meanwhile.
"""

import asyncio

import pytest

from cluster.gateway.store_client import Document, FileInfo
from cluster.router import indexing
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
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
from tests.cluster.worlds.cluster import blueprint, run, settle
from workers.errors import Cancelled, DeadlineExceeded, InvalidRequest, NotFound, QueueFull
from workers.wire.rules import Delay, Drop

QUERY = "card costs coins"


async def ended(world: VirtualWorld, store_id: str, file_id: str = "f1") -> FileInfo:
    """The file, when it is in progress no more."""
    for _ in range(1000):
        (file,) = await world.client.files(store_id, [file_id])
        if file.status != "in_progress":
            return file
        await wait(world, 10_000)
    raise AssertionError(f"{file_id} is in progress for ever")


async def found(world: VirtualWorld, store_id: str) -> list[str]:
    """Files of all that can be found."""
    hits = await world.client.search(store_id, QUERY, 100)
    return sorted({hit.file_id for hit in hits})


def test_a_file_is_begun_at_once_and_found_when_it_is_completed() -> None:
    async def job(world: VirtualWorld) -> None:
        store = (await world.client.create_store("s", {"a": "b"}, 7)).store_id
        one = Document("f1", "f1.txt", document().text, {"year": 2024})
        told = await world.client.begin_files(store, [one], 9)
        assert (told.metadata, told.created_s, told.num_passages) == ({"a": "b"}, 7, 0)
        assert told.counts == {"in_progress": 1, "completed": 0, "failed": 0, "cancelled": 0}
        assert await found(world, store) == []
        file = await ended(world, store)
        size = len(one.text.encode())
        assert file == FileInfo("f1", "f1.txt", size, 9, {"year": 2024}, "completed")
        await assert_whole(world, store, num_passages)
        await world.client.begin_files(store, [one], 10)  # once more: it stays as it is
        assert await world.client.files(store) == [file]
        texts = await world.client.read_file(store, "f1")
        assert len(texts) == num_passages and texts[0].startswith("Card 0 of f1")
        assert all(one.text.find(text) >= 0 for text in texts)
        assert [one.text.find(text) for text in texts] == sorted(map(one.text.find, texts))
        await settle(world)

    num_passages = passages_of(document())
    run(blueprint(NO_POOL), job)


def test_attributes_narrow_what_is_found() -> None:
    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        documents = [Document(f"f{y}", "f", document(f"{y}").text, {"year": y}) for y in (1, 2, 3)]
        await client.add_documents(store, documents)
        for kind, value, right in (
            ("gte", 2, ["f2", "f3"]),
            ("eq", 1, ["f1"]),
            ("ne", "1", ["f1", "f2", "f3"]),
            ("gt", 3, []),
        ):
            narrowing = {"type": kind, "key": "year", "value": value}
            hits = await client.search(store, QUERY, 100, narrowing)
            assert sorted({hit.file_id for hit in hits}) == right
        await client.change_file(store, "f1", {"year": 9})
        hits = await client.search(store, QUERY, 5, {"type": "gt", "key": "year", "value": 3})
        assert {(hit.file_id, hit.attributes["year"]) for hit in hits} == {("f1", 9)}
        await settle(world)

    run(blueprint(NO_POOL), job)


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
        (before,) = await client.files(store)
        if how == "cancel":
            await client.cancel_files(store, ["f1", "f2"])
        else:
            gone = client.remove_file(store, "f1") if how == "remove" else client.forget_file("f1")
            await gone
        is_late = before.status == "completed" and how == "cancel"
        assert await found(world, store) == (["f1"] if is_late else [])
        await wait(world, CALL_NS)
        left = [file.status for file in await client.files(store)]
        assert left == ([] if how != "cancel" else ["completed" if is_late else "cancelled"])
        assert sum(passages_held(world)) == (num_passages if is_late else 0)
        await client.add_documents(store, [document()])
        await assert_whole(world, store, num_passages)
        await settle(world)

    num_passages = passages_of(document())
    run(blueprint(NO_POOL), job)


@pytest.mark.parametrize("victim", [*SERVERS, "router"])
@pytest.mark.parametrize("after_ns", [3_000, 60_000, 100_000, 300_000])
def test_a_file_whose_adding_failed_says_why_and_is_begun_anew(victim: str, after_ns: int) -> None:
    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        await client.begin_files(store, [document()], 0)
        await wait(world, after_ns)
        await world.kill(victim)
        await wait(world, 50_000)
        await world.revive(victim)
        file = await ended(world, store)
        if file.status == "failed":
            reason = "restarted" if victim == "router" else victim
            assert file.error_code == "server_error" and reason in file.error
            assert await found(world, store) == []
            await client.begin_files(store, [document()], 0)
            file = await ended(world, store)
        assert (file.status, file.error) == ("completed", "")
        await assert_whole(world, store, num_passages)
        await wait(world, CALL_NS)
        assert sum(passages_held(world)) == num_passages
        await settle(world)

    num_passages = passages_of(document())
    run(blueprint(NO_POOL), job)


def test_a_file_that_makes_too_many_passages_is_at_fault_itself() -> None:
    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        await client.begin_files(store, [Document("f1", "a.txt", "A\n" * 131_073)], 0)
        file = await ended(world, store)
        assert (file.status, file.error_code) == ("failed", "invalid_file")
        assert "f1 makes more than 131072 passages" in file.error
        with pytest.raises(InvalidRequest, match="'f1' is failed"):
            await client.read_file(store, "f1")
        await settle(world)

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
        assert await client.files(store) == [] and passages_held(world) == [0, 0]
        await settle(world)

    run(blueprint({**NO_POOL, "slo.deadline": f"{4 * CALL_NS} ns"}), job)


def test_no_more_is_taken_in_than_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for two and a half files: of three that come together none begins, of two both do."""
    size = len(document().text.encode())
    monkeypatch.setattr(indexing, "WAITING_BYTES_MAX", 5 * size // 2)

    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        three = [document(f"f{i}") for i in range(3)]
        with pytest.raises(QueueFull, match="try again later"):
            await client.begin_files(store, three, 0)
        assert await client.files(store) == []
        await client.begin_files(store, three[:2], 0)
        with pytest.raises(QueueFull):
            await client.begin_files(store, three[2:], 0)
        for name in ("f0", "f1"):
            assert (await ended(world, store, name)).status == "completed"
        await client.begin_files(store, three, 0)
        assert (await ended(world, store, "f2")).status == "completed"
        assert await found(world, store) == ["f0", "f1", "f2"]
        await settle(world)

    run(blueprint(NO_POOL), job)

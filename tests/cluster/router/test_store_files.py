"""Files of stores: begun at once, and found when they are completed, whatever dies meanwhile."""

from collections.abc import Sequence

import pytest

from cluster.api.cursor import Cursor
from cluster.gateway import message_stores
from cluster.gateway.store_client import Document, FileInfo
from cluster.router import indexing
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.files_of_stores import QUERY, ended, files, found
from tests.cluster.router.test_stores_and_losses import (
    CALL_NS,
    NO_POOL,
    SERVERS,
    assert_whole,
    document,
    passages_held,
    passages_of,
    wait,
)
from tests.cluster.worlds.cluster import blueprint, run, settle
from workers.errors import InvalidRequest, QueueFull


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
        assert await files(world, store) == [file]
        texts = await world.client.read_file(store, "f1")
        assert len(texts) == num_passages and texts[0].startswith("Card 0 of f1")
        assert all(one.text.find(text) >= 0 for text in texts)
        assert [one.text.find(text) for text in texts] == sorted(map(one.text.find, texts))
        await settle(world)

    num_passages = passages_of(document())
    run(blueprint(NO_POOL), job)


def test_files_are_told_a_piece_at_a_time_and_counted() -> None:
    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        await client.add_documents(store, [document(f"f{i}") for i in range(5)])

        async def ids(cursor: Cursor, names: Sequence[str] = (), status: str = "") -> object:
            told, has_more = await client.files(store, cursor, names, status)
            return [file.file_id for file in told], has_more

        assert await ids(Cursor(2)) == (["f4", "f3"], True)
        assert await ids(Cursor(2, after="f3")) == (["f2", "f1"], True)
        assert await ids(Cursor(3, newest_first=False, before="f3")) == (["f0", "f1", "f2"], False)
        assert await ids(Cursor(9), ["f3", "f1", "no"]) == (["f1", "f3"], False)
        assert await ids(Cursor(9), status="failed") == ([], False)
        for cursor in (Cursor(2, after="no"), Cursor(2, before="no")):
            with pytest.raises(InvalidRequest, match="'no': it must be an id from the list"):
                await ids(cursor)
        counts = await client.count_files(store, ["f1", "f2", "no"])
        assert counts == {"in_progress": 0, "completed": 2, "failed": 0, "cancelled": 0}
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_a_files_content_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 7 passages, and of a number that 7 divides."""
    monkeypatch.setattr(message_stores, "PASSAGES_PER_MESSAGE", 7)

    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        for count in (1, 6, 7, 8, 35, 40):
            lines = [f"Line {i} of {count}." for i in range(count)]
            one = Document(f"f{count}", "f", "\n".join(lines))
            await client.add_documents(store, [one])
            assert await client.read_file(store, one.file_id) == lines
        await settle(world)

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


def test_no_more_is_taken_in_than_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for two and a half files: of three that come together none begins, of two both do."""
    size = len(document().text.encode())
    monkeypatch.setattr(indexing, "WAITING_BYTES_MAX", 5 * size // 2)

    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        three = [document(f"f{i}") for i in range(3)]
        with pytest.raises(QueueFull, match="try again later"):
            await client.begin_files(store, three, 0)
        assert await files(world, store) == []
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


@pytest.mark.parametrize("is_ended", [False, True])
def test_one_that_is_attached_again_gets_its_attributes_and_is_not_cut_anew(is_ended: bool) -> None:
    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        text = document().text
        await client.begin_files(store, [Document("f1", "f", text, {"year": 1}, (200, 50))], 0)
        if is_ended:
            await ended(world, store)
        other = document("f2")
        for chunking, cut in (((0, 0), "'auto'"), ((200, 40), r"'static' \(200 tokens, 40 of")):
            wrong = Document("f1", "f", text, {"year": 2}, chunking)
            with pytest.raises(InvalidRequest, match=f"chunking_strategy is {cut}.* cut 'static'"):
                await client.begin_files(store, [other, wrong], 0)
        (file,) = await files(world, store)  # none has begun, nothing has changed
        assert (file.attributes, file.chunking) == ({"year": 1}, (200, 50))
        await client.begin_files(store, [other, Document("f1", "f", text, {"year": 3})], 0)
        await client.begin_files(store, [Document("f1", "f", text, None, (200, 50))], 0)
        file = await ended(world, store)
        assert (file.attributes, file.chunking) == ({"year": 3}, (200, 50))
        await client.begin_files(store, [Document("f1", "f", text, {})], 0)
        assert [file.attributes for file in await files(world, store)] == [{}, {}]
        assert (await ended(world, store, "f2")).status == "completed"
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_several_queries_are_one_search() -> None:
    """Each passage once, with its best score, the best first."""

    async def job(world: VirtualWorld) -> None:
        client, store = world.client, (await world.client.create_store("s")).store_id
        await client.add_documents(store, [document(f"f{i}") for i in range(3)])
        queries = [QUERY, "Card 7 of f1", QUERY]
        best: dict[str, float] = {}
        for query in queries:
            for hit in await client.search(store, query, 9):
                best[hit.passage_id] = max(best.get(hit.passage_id, 0.0), hit.score)
        found = await client.search_any(store, queries, 9)
        assert [hit.score for hit in found] == sorted(best.values(), reverse=True)[:9]
        assert all(best[hit.passage_id] == hit.score for hit in found)
        assert len({hit.passage_id for hit in found}) == 9
        narrowing = {"type": "eq", "key": "year", "value": 1}
        assert await client.search_any(store, queries, 9, narrowing) == []
        await settle(world)

    run(blueprint(NO_POOL), job)

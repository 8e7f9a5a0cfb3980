"""Vector stores and their files through the official client, before a scripted cluster."""

import openai
import pytest

from tests.cluster.gateway.test_files_and_stores import run, upload
from workers.errors import PeerDead, QueueFull

pytestmark = pytest.mark.live


def test_a_store_from_creation_to_search_to_deletion():
    async def test(w):
        stores = w.openai.vector_stores
        store = await stores.create(name="notes")
        file = await upload(w)
        attached = await stores.files.create_and_poll(file.id, vector_store_id=store.id)
        assert (attached.status, attached.usage_bytes) == ("completed", 10)
        again = await stores.files.create(store.id, file_id=file.id)
        assert again == attached
        assert w.router.num_added == 1  # indexed once
        store = await stores.retrieve(store.id)
        assert (store.name, store.file_counts.completed) == ("notes", 1)
        files = [f.id async for f in stores.files.list(store.id)]
        assert files == [file.id]
        found = [h async for h in stores.search(store.id, query="alpha")]
        assert (found[0].file_id, found[0].filename, found[0].score) == (file.id, "a.txt", 0.5)
        assert found[0].content[0].text == "alpha beta"
        texts = [
            part.text async for part in stores.files.content(file.id, vector_store_id=store.id)
        ]
        assert texts == ["alpha beta"]
        assert [s.id async for s in stores.list()] == [store.id]
        assert (await stores.delete(store.id)).deleted
        assert [s async for s in stores.list()] == []
        with pytest.raises(openai.NotFoundError):
            await stores.files.retrieve(file.id, vector_store_id=store.id)

    run(test)


def test_a_file_is_in_progress_until_the_cluster_says_otherwise():
    async def test(w):
        w.router.status, stores = "in_progress", w.openai.vector_stores
        good, bad = await upload(w), await upload(w, "b.txt")
        store = await stores.create(name="x", file_ids=[good.id])
        assert (store.status, store.file_counts.in_progress) == ("in_progress", 1)
        attached = await stores.files.create(store.id, file_id=bad.id)
        assert (attached.status, attached.last_error) == ("in_progress", None)
        w.router.finish(store.id, good.id)
        w.router.finish(store.id, bad.id, "failed", "invalid_file", "too many passages")
        failed = await stores.files.retrieve(bad.id, vector_store_id=store.id)
        assert failed.status == "failed"
        assert (failed.last_error.code, failed.last_error.message) == (
            "invalid_file",
            "too many passages",
        )
        store = await stores.retrieve(store.id)
        counts = store.file_counts
        assert (store.status, counts.completed, counts.failed, counts.total) == (
            "completed",
            1,
            1,
            2,
        )
        listed = [f.id async for f in stores.files.list(store.id, filter="failed")]
        assert listed == [bad.id]
        # Whoever asks again is answered, and what failed begins again.
        await stores.files.create(store.id, file_id=good.id)
        again = await stores.files.create(store.id, file_id=bad.id)
        assert (again.status, w.router.num_added) == ("in_progress", 3)
        with pytest.raises(openai.BadRequestError, match="filter is 'odd'"):
            await w.openai.get(f"/vector_stores/{store.id}/files?filter=odd", cast_to=object)

    run(test)


def test_a_deleted_file_leaves_every_store():
    async def test(w):
        stores = w.openai.vector_stores
        one, other = await upload(w), await upload(w, "b.txt", b"alpha gamma")
        ids = [(await stores.create(name="x", file_ids=[one.id, other.id])).id for _ in range(2)]
        gone = await stores.files.delete(one.id, vector_store_id=ids[0])
        assert (gone.id, gone.deleted, gone.object) == (one.id, True, "vector_store.file.deleted")
        with pytest.raises(openai.NotFoundError):
            await stores.files.delete(one.id, vector_store_id=ids[0])
        assert (await w.openai.files.retrieve(one.id)).id == one.id
        w.router.forget_error = PeerDead("the router is gone")
        with pytest.raises(openai.InternalServerError):
            await w.openai.files.delete(other.id)
        w.router.forget_error = None
        assert [f.id async for f in w.openai.files.list(order="asc")] == [one.id, other.id]
        assert (await w.openai.files.delete(other.id)).deleted
        for store_id, left in zip(ids, ([], [one.id]), strict=True):
            assert [h.file_id async for h in stores.search(store_id, query="alpha")] == left
        with pytest.raises(openai.NotFoundError):
            await stores.files.create(ids[0], file_id=other.id)

    run(test)


def test_a_store_made_with_files_is_all_or_nothing():
    async def test(w):
        good, bad = await upload(w), await upload(w, "b.bin", b"\xff\xfe\x00")
        store = await w.openai.vector_stores.create(name="x", file_ids=[good.id])
        assert store.file_counts.completed == 1
        with pytest.raises(openai.BadRequestError, match="not UTF-8"):
            await w.openai.vector_stores.create(name="y", file_ids=[good.id, bad.id])
        w.router.add_error = QueueFull("busy")
        with pytest.raises(openai.RateLimitError):
            await w.openai.vector_stores.create(name="z", file_ids=[good.id])
        assert [s.name async for s in w.openai.vector_stores.list()] == ["x"]

    run(test)


def test_stores_and_files_are_called_otherwise_and_searched_by_attributes():
    async def test(w):
        stores = w.openai.vector_stores
        store = await stores.create(name="a", metadata={"team": "x"})
        assert store.metadata == {"team": "x"}
        store = await stores.update(store.id, name="b")
        assert (store.name, store.metadata) == ("b", {"team": "x"})
        store = await stores.update(store.id, metadata={})
        assert (store.name, store.metadata) == ("b", {})
        for year in (2023, 2024):
            file = await upload(w, f"{year}.txt", b"alpha %d" % year)
            await stores.files.create(store.id, file_id=file.id, attributes={"year": year})
        later = {"type": "gt", "key": "year", "value": 2023}
        hits = [h async for h in stores.search(store.id, query="alpha", filters=later)]
        assert [h.attributes for h in hits] == [{"year": 2024}]
        changed = await stores.files.update(
            file.id, vector_store_id=store.id, attributes={"year": 2020.5, "is_draft": True}
        )
        assert changed.attributes == {"year": 2020.5, "is_draft": True}
        both = {"type": "or", "filters": [later, {"type": "eq", "key": "is_draft", "value": True}]}
        hits = [h async for h in stores.search(store.id, query="alpha", filters=both)]
        assert [h.filename for h in hits] == ["2024.txt"]
        for least, count in ((0.5, 2), (0.51, 0)):  # each of them scores 0.5
            ranking = {"score_threshold": least, "ranker": "auto"}
            found = stores.search(store.id, query="alpha", ranking_options=ranking)
            assert len([h async for h in found]) == count

    run(test)


def test_unknown_stores_and_files():
    async def test(w):
        store, file = await w.openai.vector_stores.create(name="x"), await upload(w)
        stores = w.openai.vector_stores
        for wrong in (
            lambda: stores.retrieve("vs_no"),
            lambda: stores.update("vs_no", name="x"),
            lambda: stores.delete("vs_no"),
            lambda: stores.search("vs_no", query="q"),
            lambda: stores.files.list("vs_no"),
            lambda: stores.files.create("vs_no", file_id=file.id),
            lambda: stores.files.create(store.id, file_id="file-no"),
            lambda: stores.files.retrieve(file.id, vector_store_id=store.id),
            lambda: stores.files.content(file.id, vector_store_id=store.id),
            lambda: stores.files.update(file.id, vector_store_id=store.id, attributes={}),
            lambda: stores.file_batches.retrieve("vsfb_no", vector_store_id=store.id),
            lambda: w.openai.files.delete("file-no"),
        ):
            with pytest.raises(openai.NotFoundError):
                await wrong()
        assert w.router.num_added == 0

    run(test)


def test_wrong_fields():
    async def test(w):
        store, file = await w.openai.vector_stores.create(name="x"), await upload(w)
        stores = w.openai.vector_stores
        for wrong in (
            lambda: stores.create(name="x", metadata={"a": 1}),
            lambda: stores.create(name="x", metadata={"a": "b" * 513}),
            lambda: stores.search(store.id, query=""),
            lambda: stores.search(store.id, query=[]),
            lambda: stores.search(store.id, query=["a", " "]),
            lambda: stores.search(store.id, query=["a"] * 33),
            lambda: stores.search(store.id, query="a", max_num_results=51),
            lambda: stores.search(store.id, query="a", rewrite_query=True),
            lambda: stores.search(store.id, query="a", filters={"type": "like"}),
            lambda: stores.search(store.id, query="a", ranking_options={"score_threshold": 2}),
            lambda: stores.files.create(store.id, file_id=file.id, attributes={"a": [1]}),
            lambda: stores.files.create(
                store.id, file_id=file.id, attributes={str(i): i for i in range(17)}
            ),
            lambda: stores.create(name="x", description="words"),
        ):
            with pytest.raises(openai.BadRequestError):
                await wrong()
        assert w.router.num_added == 0

    run(test)

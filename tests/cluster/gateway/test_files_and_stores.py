"""Models, files and vector stores through the official client."""

import asyncio

import openai
import pytest

from tests.cluster.gateway.fake_router import MODEL, world
from workers.errors import QueueFull

pytestmark = pytest.mark.live


def run(test, **settings) -> None:
    async def main() -> None:
        async with world(**settings) as w:
            await test(w)

    asyncio.run(main())


async def upload(w, name: str = "a.txt", content: bytes = b"alpha beta"):
    return await w.openai.files.create(file=(name, content), purpose="assistants")


def test_models():
    async def test(w):
        models = [m async for m in w.openai.models.list()]
        assert [m.id for m in models] == [MODEL, "org/other"]
        one = await w.openai.models.retrieve("org/other")
        assert (one.id, one.object, one.owned_by) == ("org/other", "model", "perfuse")
        assert one.max_model_len == 8

    run(test)


def test_files_are_listed_read_and_deleted():
    async def test(w):
        files = [await upload(w, f"{i}.txt", b"x" * i) for i in range(1, 6)]
        assert (files[2].bytes, files[2].filename, files[2].status) == (3, "3.txt", "processed")
        assert len({f.id for f in files}) == 5
        assert (await w.openai.files.retrieve(files[0].id)).id == files[0].id
        assert (await w.openai.files.content(files[4].id)).content == b"xxxxx"
        # Two pages of two and one of one, newest first.
        paged = [f.id async for f in w.openai.files.list(limit=2)]
        assert paged == [f.id for f in reversed(files)]
        assert [f.id async for f in w.openai.files.list(order="asc")] == [f.id for f in files]
        assert [f async for f in w.openai.files.list(purpose="batch")] == []
        assert (await w.openai.files.delete(files[0].id)).deleted
        with pytest.raises(openai.NotFoundError):
            await w.openai.files.retrieve(files[0].id)

    run(test)


def test_files_are_bounded_in_size_number_and_total():
    async def test(w):
        with pytest.raises(openai.APIStatusError, match="11 bytes") as caught:
            await upload(w, content=b"x" * 11)
        assert caught.value.status_code == 413
        with pytest.raises(openai.APIStatusError) as caught:
            await upload(w, content=b"x" * 100_000)
        assert caught.value.status_code == 413
        kept = [await upload(w, content=b"x" * 10), await upload(w, content=b"x" * 10)]
        with pytest.raises(openai.BadRequestError, match="25 are kept"):
            await upload(w, content=b"x" * 6)
        await upload(w, content=b"x")
        with pytest.raises(openai.BadRequestError, match="the limit"):
            await upload(w, content=b"x")
        await w.openai.files.delete(kept[0].id)
        await upload(w, content=b"x" * 10)

    run(test, max_file_bytes=10, max_files=3, max_files_total_bytes=25)


def test_malformed_uploads_are_400():
    async def test(w):
        post = w.http.post
        form = {"content-type": "multipart/form-data; boundary=b"}
        bad = [
            await post("/v1/files", json={}),
            await post("/v1/files", content=b"x", headers={"content-type": "multipart/form-data"}),
            await post("/v1/files", content=b"nonsense", headers=form),
            await post("/v1/files", data={"purpose": "assistants"}, files={"other": b"x"}),
            await post("/v1/files", files={"file": ("a", b"x")}),
            await post("/v1/files", data={"purpose": "fun"}, files={"file": ("a", b"x")}),
            await w.http.get("/v1/files?limit=0"),
            await w.http.get("/v1/files?order=up"),
            await w.http.get("/v1/files?after=nobody"),
            await w.http.get("/v1/files?colour=red"),
        ]
        assert [r.status_code for r in bad] == [400] * len(bad)
        assert all(r.json()["error"]["message"] for r in bad)
        assert w.server.desk.shelf.all() == []

    run(test)


def test_a_store_from_creation_to_search_to_deletion():
    async def test(w):
        store = await w.openai.vector_stores.create(name="notes")
        file = await upload(w)
        attached = await w.openai.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id
        )
        assert (attached.status, attached.usage_bytes) == ("completed", 10)
        again = await w.openai.vector_stores.files.create(store.id, file_id=file.id)
        assert again.id == file.id
        assert len(w.router.documents[store.id]) == 1  # indexed once
        store = await w.openai.vector_stores.retrieve(store.id)
        assert (store.name, store.file_counts.completed) == ("notes", 1)
        files = [f.id async for f in w.openai.vector_stores.files.list(store.id)]
        assert files == [file.id]
        found = [h async for h in w.openai.vector_stores.search(store.id, query="alpha")]
        assert (found[0].file_id, found[0].filename, found[0].score) == (file.id, "a.txt", 0.5)
        assert found[0].content[0].text == "alpha beta"
        assert [s.id async for s in w.openai.vector_stores.list()] == [store.id]
        assert (await w.openai.vector_stores.delete(store.id)).deleted
        assert [s async for s in w.openai.vector_stores.list()] == []
        with pytest.raises(openai.NotFoundError):
            await w.openai.vector_stores.files.retrieve(file.id, vector_store_id=store.id)

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


def test_an_attachment_that_failed_can_be_tried_again():
    async def test(w):
        store, file = await w.openai.vector_stores.create(name="x"), await upload(w)
        w.router.add_error = QueueFull("busy")
        with pytest.raises(openai.RateLimitError):
            await w.openai.vector_stores.files.create(store.id, file_id=file.id)
        w.router.add_error = None
        await w.openai.vector_stores.files.create(store.id, file_id=file.id)
        assert len(w.router.documents[store.id]) == 1

    run(test)


def test_unknown_stores_and_files_and_wrong_fields():
    async def test(w):
        store, file = await w.openai.vector_stores.create(name="x"), await upload(w)
        stores = w.openai.vector_stores
        for wrong in (
            lambda: stores.retrieve("vs_no"),
            lambda: stores.delete("vs_no"),
            lambda: stores.search("vs_no", query="q"),
            lambda: stores.files.list("vs_no"),
            lambda: stores.files.create("vs_no", file_id=file.id),
            lambda: stores.files.create(store.id, file_id="file-no"),
            lambda: w.openai.files.delete("file-no"),
        ):
            with pytest.raises(openai.NotFoundError):
                await wrong()
        for wrong in (
            lambda: stores.create(name="x", metadata={"a": "b"}),
            lambda: stores.create(expires_after={"anchor": "last_active_at", "days": 1}),
            lambda: stores.search(store.id, query=""),
            lambda: stores.search(store.id, query=["a", "b"]),
            lambda: stores.search(store.id, query="a", max_num_results=51),
            lambda: stores.search(store.id, query="a", rewrite_query=True),
            lambda: stores.files.create(store.id, file_id=file.id, attributes={"a": 1}),
        ):
            with pytest.raises(openai.BadRequestError):
                await wrong()
        assert w.server.desk.attachments.of("vs_no") == []

    run(test)

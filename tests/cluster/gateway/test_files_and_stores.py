"""Models and files through the official client."""

import asyncio

import openai
import pytest

from tests.cluster.gateway.fake_router import MODEL, world

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

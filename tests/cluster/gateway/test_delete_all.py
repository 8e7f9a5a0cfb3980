"""Whatever a list has can be deleted while it is paged through, by the official client."""

import asyncio

import pytest

from tests.cluster.gateway.fake_router import world

pytestmark = pytest.mark.live


def test_delete_all_of_each_list() -> None:
    async def main() -> None:
        async with world() as w:
            api = w.openai
            for i in range(5):
                await api.vector_stores.create(name=f"s{i}")
                await api.files.create(file=(f"{i}.txt", b"words"), purpose="assistants")
            store = (await api.vector_stores.list()).data[0].id
            files = [f.id async for f in api.files.list()]
            await api.vector_stores.file_batches.create(store, file_ids=files)
            async for one in api.vector_stores.files.list(store, limit=2):
                await api.vector_stores.files.delete(one.id, vector_store_id=store)
            async for file in api.files.list(limit=2, order="asc", purpose="assistants"):
                await api.files.delete(file.id)
            async for found in api.vector_stores.list(limit=2):
                await api.vector_stores.delete(found.id)
            assert (await api.files.list()).data == []
            assert (await api.vector_stores.list()).data == []
            gone = (await w.http.get("/v1/files", params={"after": files[0]})).json()
            assert gone["data"] == []
            for path in ("/v1/files", "/v1/vector_stores"):
                refused = await w.http.get(path, params={"after": "file-never-1"})
                assert refused.status_code == 400
                assert "must be an id from the list" in refused.text

    asyncio.run(main())


def test_files_are_listed_by_ten_thousands() -> None:
    """Vector stores by 20, as OpenAI has both."""

    async def main() -> None:
        async with world() as w:
            for i in range(25):
                await w.openai.files.create(file=(f"{i}.txt", b"words"), purpose="assistants")
                await w.openai.vector_stores.create(name=f"s{i}")
            files = (await w.http.get("/v1/files")).json()
            assert len(files["data"]) == 25 and not files["has_more"]
            stores = (await w.http.get("/v1/vector_stores")).json()
            assert len(stores["data"]) == 20 and stores["has_more"]
            for path, most in (("/v1/files", 10_000), ("/v1/vector_stores", 100)):
                assert (await w.http.get(f"{path}?limit={most}")).status_code == 200
                refused = await w.http.get(f"{path}?limit={most + 1}")
                assert f"between 1 and {most}" in refused.text

    asyncio.run(main())

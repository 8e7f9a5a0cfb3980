"""Methods of a path, an expiry that is switched off, and what a file search does not take."""

import asyncio

import pytest

from tests.cluster.gateway.fake_router import World, world

pytestmark = pytest.mark.live

METHODS = [
    ("/v1/files", "GET, POST"),
    ("/v1/files/x", "DELETE, GET"),
    ("/v1/vector_stores/x", "DELETE, GET, POST"),
    ("/v1/vector_stores/x/files/y", "DELETE, GET, POST"),
    ("/v1/vector_stores/x/search", "POST"),
    ("/health", "GET, HEAD"),
    ("/v1/chat/completions", "POST"),
]


def test_a_405_names_all_methods_of_its_path() -> None:
    async def main() -> None:
        async with world() as w:
            for path, right in METHODS:
                answer = await w.http.put(path)
                assert (answer.status_code, answer.headers["allow"]) == (405, right)
            assert "allow" not in (await w.http.get("/v1/nothing")).headers

    asyncio.run(main())


def test_null_switches_an_expiry_off() -> None:
    async def main() -> None:
        async with world() as w:
            after = {"anchor": "last_active_at", "days": 2}
            made = await w.http.post("/v1/vector_stores", json={"expires_after": after})
            path = f"/v1/vector_stores/{made.json()['id']}"
            assert (await w.http.post(path, json={"name": "n"})).json()["expires_after"] == after
            changed = (await w.http.post(path, json={"expires_after": None})).json()
            assert (changed["expires_after"], changed["expires_at"]) == (None, None)

    asyncio.run(main())


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
@pytest.mark.parametrize("key", ["filters", "ranking_options"])
def test_a_file_search_says_that_it_looks_at_a_whole_store(path: str, key: str) -> None:
    async def ask(w: World) -> None:
        tool = {"type": "file_search", "vector_store_ids": ["x"], key: {"type": "eq"}}
        said = [{"role": "user", "content": "hi"}]
        name = "messages" if path.startswith("chat") else "input"
        body = {"model": "perfuse-tiny", name: said, "tools": [tool]}
        answer = await w.http.post(f"/v1/{path}", json=body)
        assert answer.status_code == 400
        assert f"tools[0].{key} is" in answer.text and "/search" in answer.text

    async def main() -> None:
        async with world() as w:
            await ask(w)

    asyncio.run(main())

"""Browsers ask whether they may (CORS); probes ask for the status alone (HEAD)."""

import asyncio
from typing import Any

import pytest

from cluster.cli.serve_options import origins
from cluster.gateway.settings import GatewaySettings
from tests.cluster.gateway.fake_router import MODEL, world

PAGE = "http://localhost:3000"
ASK = {"origin": PAGE, "access-control-request-method": "POST",
       "access-control-request-headers": "authorization, content-type"}  # fmt: skip


def run(test: Any, **settings: Any) -> None:
    async def main() -> None:
        async with world(**settings) as w:
            await test(w)

    asyncio.run(main())


@pytest.mark.live
@pytest.mark.parametrize(
    "path",
    ["/health", "/health/ready", "/metrics", "/version", "/v1/models", f"/v1/models/{MODEL}"],
)
def test_head_is_get_without_a_body(path: str) -> None:
    async def test(w: Any) -> None:
        got, head = await w.http.get(path), await w.http.head(path)
        assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
        assert (await w.http.head("/v1/models/gpt-9")).status_code == 404
        assert len(w.server._server.server_state.connections) == 1  # nothing else was sent

    run(test)


@pytest.mark.live
@pytest.mark.parametrize("allowed", [(PAGE,), ("*",), ("http://a.example", PAGE)])
def test_pages_of_allowed_origins_may_call(allowed: tuple[str, ...]) -> None:
    async def test(w: Any) -> None:
        said = {"*" if "*" in allowed else PAGE}
        asked = await w.http.options("/v1/chat/completions", headers=ASK)
        assert asked.status_code == 200
        assert {asked.headers["access-control-allow-origin"]} == said
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert "authorization" in asked.headers["access-control-allow-headers"].lower()
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
        for extra in ({}, {"stream": True}, {"n": "wrong"}):
            answer = await w.http.post(
                "/v1/chat/completions", json={**body, **extra}, headers={"origin": PAGE}
            )
            assert answer.status_code == (400 if "n" in extra else 200)
            assert {answer.headers["access-control-allow-origin"]} == said
            assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()

    run(test, allowed_origins=allowed)


@pytest.mark.live
def test_other_pages_may_not_and_without_the_option_none() -> None:
    async def test(w: Any) -> None:
        asked = await w.http.options("/v1/chat/completions", headers=ASK)
        assert asked.status_code >= 400
        assert "access-control-allow-origin" not in asked.headers
        answer = await w.http.get("/v1/models", headers={"origin": PAGE})
        assert "access-control-allow-origin" not in answer.headers

    run(test, allowed_origins=("http://a.example",))
    run(test)


def test_origins_are_given_one_by_one_or_as_vllm_takes_them() -> None:
    assert origins([PAGE, "*"]) == (PAGE, "*") == origins([f'["{PAGE}", "*"]'])
    assert origins(['["http://a:1"]', PAGE]) == ("http://a:1", PAGE)
    for wrong in ("[1]", "[", '[["a"]]'):
        with pytest.raises(ValueError, match=r"list of strings|JSON"):
            origins([wrong])
    for wrong in ("localhost:3000", "http://", f"{PAGE}/", "", "http://a b"):
        with pytest.raises(ValueError, match="allowed_origins has"):
            GatewaySettings(allowed_origins=(wrong,))

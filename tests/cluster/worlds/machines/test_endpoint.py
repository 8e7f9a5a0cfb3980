"""One endpoint, whoever asks for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.machines import endpoint as tested
from cluster.worlds.machines.endpoint import Endpoint

SETTINGS = GatewaySettings()
PROBLEM = "it is not served yet: the gateway has just come back"


class Gateway:
    """The fleet's part of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []  # questions with arguments
        self.is_taken, self.address = False, "10.0.0.7"

    @property
    def last(self) -> str:
        return self.asked[-1][0]

    async def ask(self, node: str, question: str, *arguments: Any, timeout_s: float = 0) -> str:
        await asyncio.sleep(0)
        self.asked.append((question, arguments))
        if question == "serve_http" and self.is_taken:
            raise OSError("address already in use")
        return f"http://{arguments[0]}:{arguments[1] or 4711}" if arguments else ""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "RETRY_S", 0.001)


def with_one(job: Callable[[Endpoint, Gateway], Awaitable[None]]) -> None:
    async def main() -> None:
        gateway = Gateway()
        endpoint = Endpoint(gateway, "gateway", lambda: gateway.address)  # type: ignore[arg-type]
        await job(endpoint, gateway)
        endpoint.end()

    asyncio.run(main())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.001)


def test_two_who_ask_at_once_have_one_endpoint() -> None:
    async def job(endpoint: Endpoint, gateway: Gateway) -> None:
        urls = await asyncio.gather(*(endpoint.serve("10.0.0.1", 0, SETTINGS) for _ in range(3)))
        assert set(urls) == {"http://10.0.0.1:4711"} and len(gateway.asked) == 1
        assert await endpoint.serve("10.0.0.1", 4711, SETTINGS) == urls[0]

    with_one(job)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("10.0.0.1", 8000, SETTINGS), "--host 10.0.0.1 --port 8000: .* served already, at http"),
        (("10.0.0.2", 0, SETTINGS), "--host 10.0.0.2 --port 0: .* --host 10.0.0.1 --port 4711"),
        (("10.0.0.1", 0, GatewaySettings(seed=5)), "^other settings: the cluster is served"),
    ],
)
def test_whoever_asks_for_another_is_told_of_the_one_there_is(asked: Any, said: str) -> None:
    async def job(endpoint: Endpoint, gateway: Gateway) -> None:
        await endpoint.serve("10.0.0.1", 4711, SETTINGS)
        with pytest.raises(ValueError, match=said):
            await endpoint.serve(*asked)
        assert len(gateway.asked) == 1

    with_one(job)


def test_the_next_gateway_listens_where_the_last_one_did() -> None:
    async def job(endpoint: Endpoint, gateway: Gateway) -> None:
        endpoint.came_back()
        await asyncio.sleep(0.01)
        assert gateway.asked == [], "nobody is served"
        await endpoint.serve("10.0.0.1", 0, SETTINGS)
        endpoint.came_back()
        assert (endpoint.url, endpoint.problem) == ("", PROBLEM)
        await until(lambda: bool(endpoint.url))
        assert gateway.asked[-1] == ("serve_http", ("10.0.0.1", 4711, SETTINGS))
        assert endpoint.problem == ""
        await endpoint.stop()
        assert endpoint.url == ""
        assert gateway.last == "stop_http"
        endpoint.came_back()
        await asyncio.sleep(0.01)
        assert gateway.last == "stop_http"

    with_one(job)


def test_it_tries_until_it_listens_and_says_why_it_does_not() -> None:
    async def job(endpoint: Endpoint, gateway: Gateway) -> None:
        await endpoint.serve("10.0.0.1", 0, SETTINGS)
        gateway.is_taken = True
        endpoint.came_back()
        await until(lambda: "in use" in endpoint.problem)
        gateway.is_taken = False
        await until(lambda: endpoint.url == "http://10.0.0.1:4711")
        assert endpoint.problem == ""

    with_one(job)


def test_whoever_serves_where_the_gateway_is_moves_with_it() -> None:
    async def job(endpoint: Endpoint, gateway: Gateway) -> None:
        assert await endpoint.serve(None, 0, SETTINGS) == "http://10.0.0.7:4711"
        gateway.address = "10.0.0.8"
        endpoint.came_back()
        await until(lambda: endpoint.url == "http://10.0.0.8:4711")
        assert await endpoint.serve(None, 4711, SETTINGS) == endpoint.url

    with_one(job)

"""ASGI applications behind real sockets of loopback, in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import uvicorn

from cluster.worlds.machines.forward import Forward, Message, Receive, Send

# A test that waits in vain ends with an error that names it; nothing is measured by this.
PATIENCE_S = 60

Headers = tuple[tuple[bytes, bytes], ...]


class _Server(uvicorn.Server):
    """uvicorn without signal handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: object, lifespan: str = "off") -> AsyncIterator[str]:
    """The URL at which `app` answers."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # of our own types
        lifespan=lifespan,  # type: ignore[arg-type]
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def forwarding(gateway: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a forwarder before `gateway`."""
    async with asyncio.timeout(PATIENCE_S), serving(gateway) as url:

        async def find() -> str:
            return url

        async with (
            serving(Forward(find), lifespan="on") as before,
            httpx.AsyncClient(base_url=before, trust_env=False, timeout=None) as client,
        ):
            yield client


class Gateway:
    """Keeps the scope of each request and answers with `body`, once it has read everything."""

    def __init__(
        self,
        body: Callable[[Message, bytes], bytes] = lambda scope, body: body,
        status: int = 200,
        headers: Headers = (),
    ) -> None:
        self.asked: list[Message] = []
        self._body, self._status, self._headers = body, status, headers

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.asked.append(scope)
        read, more = b"", True
        while more:
            message = await receive()
            read += message.get("body", b"")
            more = message.get("more_body", False)
        await head(send, self._status, self._headers)
        await send({"type": "http.response.body", "body": self._body(scope, read)})


async def head(send: Send, status: int = 200, headers: Headers = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def piece(send: Send, body: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})

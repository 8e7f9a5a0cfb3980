"""HTTP requests passed on to a gateway, and its answers passed back: a plain ASGI application.

    client -- receive --> _Arriving --> httpx --> gateway
    client <-- send ------------------- httpx <-- gateway

Bodies are streams both ways: a piece is passed on when it is there, so the first event of an answer
is with the client before the second exists, and of a request no more than a piece waits here. What
ends one side ends the other: a client that goes away closes the connection to the gateway, which
then cancels its generation; an answer that breaks off breaks off here, too. One after the other:
httpx reads an answer once it has sent the request, and no route of a gateway answers earlier except
to refuse.
"""

import asyncio
import json
import logging
import posixpath
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import quote

import httpx

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
# Says a gateway's URL: http://10.0.0.7:8000. It may take its time, and raise.
Find = Callable[[], Awaitable[str]]

# What is of one connection and no further (RFC 9110, 7.6.1); so is what `Connection` names.
_ONE_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade".split()
)
# The server before us has answered `Expect` already; the gateway's host is not the client's.
_NOT_ASKED_ON = frozenset((b"expect", b"host"))
# The server before us says its own.
_NOT_ANSWERED_ON = frozenset((b"date", b"server"))

# The gateway lets its own machine change what runs, and may take this process for it: operators
# ask the gateway themselves.
_CLOSED = "admin"

_CONNECT_S = 10.0
_NOBODY_THERE = (httpx.ConnectError, httpx.ConnectTimeout)


class Forward:
    """`find` is asked when the server starts, and again when nobody answers at the URL it said."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._url = ""
        self._finding = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:  # a WebSocket, which the gateway does not speak: closed before it opens is a 403
            await receive()
            await send({"type": "websocket.close"})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._found(silent="")
        except Exception as error:
            log.exception("no gateway")
            await send({"type": "lifespan.startup.failed", "message": f"no gateway: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._client is not None:
            await self._client.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        """Until the answer is complete or the client has gone, whichever comes first."""
        arriving = _Arriving(receive)
        reading = asyncio.create_task(arriving.read())
        answering = asyncio.create_task(self._answer(scope, arriving, send))
        try:
            await asyncio.wait((reading, answering), return_when=asyncio.FIRST_COMPLETED)
            for task in (answering, reading):
                if task.done():
                    task.result()
        finally:
            reading.cancel()
            answering.cancel()
            await asyncio.gather(reading, answering, return_exceptions=True)

    async def _answer(self, scope: Message, arriving: "_Arriving", send: Send) -> None:
        if _first_word(scope["path"]) == _CLOSED:
            await _refuse(send, 404, "/admin is not passed on: ask the gateway itself")
            return
        try:
            response = await self._ask(scope, arriving)
        except httpx.InvalidURL as error:
            await _refuse(send, 400, f"no path: {error}")
            return
        except httpx.TransportError:
            log.exception("the gateway at %s does not answer", self._url)
            await _refuse(send, 502, "the gateway does not answer; the log says more")
            return
        except Exception:
            log.exception("no gateway")
            await _refuse(send, 503, "there is no gateway; the log says why")
            return
        try:
            headers = _of_further_hops(response.headers.raw, but=_NOT_ANSWERED_ON)
            status = response.status_code
            await send({"type": "http.response.start", "status": status, "headers": headers})
            async for piece in response.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await response.aclose()

    async def _ask(self, scope: Message, arriving: "_Arriving") -> httpx.Response:
        """The answer's head. Where nobody listens nothing of the body has been taken yet, so a
        second try is whole.

        Raises httpx.TransportError, httpx.InvalidURL, and what `find` does.
        """
        url = self._url or await self._found(silent="")
        try:
            return await self._sent(url, scope, arriving)
        except _NOBODY_THERE:
            return await self._sent(await self._found(silent=url), scope, arriving)

    async def _found(self, silent: str) -> str:
        """What `find` says; asked once by all who found the same URL silent. Raises as it does."""
        async with self._finding:
            if self._url == silent:
                self._url = (await self._find()).rstrip("/")
            return self._url

    async def _sent(self, url: str, scope: Message, arriving: "_Arriving") -> httpx.Response:
        if self._client is None:
            # No proxies of the environment: the gateway is inside the cluster. Answers may pause as
            # long as the gateway lets them; how many there are at once is its decision, too.
            self._client = httpx.AsyncClient(
                trust_env=False,
                timeout=httpx.Timeout(None, connect=_CONNECT_S),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            )
        target = scope.get("raw_path") or quote(scope["path"]).encode()
        if scope.get("query_string"):
            target += b"?" + scope["query_string"]
        asked = dict(scope["headers"])
        has_body = (
            b"content-length" in asked
            or b"transfer-encoding" in asked
            or scope.get("http_version", "1.1").startswith("2")  # it needs neither
        )
        # A request of our own making has no headers but these: nothing is said that the client did
        # not say.
        request = httpx.Request(
            scope["method"],
            httpx.URL(url).copy_with(raw_path=target),
            headers=_of_further_hops(scope["headers"], but=_NOT_ASKED_ON),
            content=arriving.pieces() if has_body else None,
        )
        return await self._client.send(request, stream=True)


class _Arriving:
    """A request's body; one task reads it, and so hears the client go, too."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        # None ends it. One waits, so a client is not read faster than the gateway reads.
        self._pieces = asyncio.Queue[bytes | None](maxsize=1)

    async def read(self) -> None:
        """Returns when the client has gone, which it may long after its request."""
        while (message := await self._receive())["type"] == "http.request":
            if message.get("body"):
                await self._pieces.put(message["body"])
            if not message.get("more_body", False):
                await self._pieces.put(None)

    async def pieces(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece


def _of_further_hops(headers: Iterable[tuple[bytes, bytes]], but: frozenset[bytes]) -> Headers:
    """Those that are passed on, their names in lower case as ASGI has them."""
    lower = [(name.lower(), value) for name, value in headers]
    named = b",".join(value for name, value in lower if name == b"connection")
    of_this_hop = {word.strip().lower() for word in named.split(b",")} | _ONE_HOP | but
    return [(name, value) for name, value in lower if name not in of_this_hop]


def _first_word(path: str) -> str:
    """Of a decoded path, also where `..` or a second slash lead there."""
    return posixpath.normpath(path).strip("/").partition("/")[0]


# Status -> `type` and `code` of an error, in the form of the gateway's own.
_KINDS = {
    400: ("invalid_request_error", "invalid_request"),
    404: ("invalid_request_error", "unknown_url"),
    502: ("internal_server_error", "bad_gateway"),
    503: ("service_unavailable_error", "unavailable"),
}


async def _refuse(send: Send, status: int, message: str) -> None:
    kind, code = _KINDS[status]
    error = {"message": message, "type": kind, "param": None, "code": code}
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})

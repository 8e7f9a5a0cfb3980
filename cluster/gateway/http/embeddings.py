"""/v1/embeddings: answered with an eye on whether the client is still there, as generations are."""

import asyncio
from contextlib import suppress

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cluster.api.output import Output
from cluster.gateway.desk import Desk
from cluster.gateway.embedding_form import OPERATIONS_PER_NUMBER, write_embeddings
from cluster.gateway.embedding_request import Embeddings, check_dimensions, parse_embeddings
from cluster.gateway.http.body import OPERATIONS_PER_BYTE, json_of, read_body
from cluster.gateway.http.generate import PIECE_BYTES, disconnected
from cluster.gateway.http.shell import NAME, ErrorResponse
from cluster.gateway.meter import Meter
from cluster.gateway.naming import Name
from workers.errors import Draining

# Answers that are made at once: 23 MB each where 2,048 texts have 1,024 numbers. One thread
# computes them all, so more would only wait elsewhere.
AT_ONCE = 4


def add_embedding_routes(app: FastAPI, desk: Desk) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        limits = desk.settings
        raw = await read_body(request, limits.max_body_bytes, limits.body_timeout_s)
        start_ns = desk.now_ns()
        size = len(raw) * OPERATIONS_PER_BYTE
        asked = await desk.aside.run(size, lambda: parse_embeddings(json_of(raw)))
        return EmbeddingResponse(desk, asked, turns, request.scope[NAME], start_ns)


class EmbeddingResponse(Response):
    """Owns the work: when `__call__` ends, nothing goes on."""

    def __init__(
        self, desk: Desk, asked: Embeddings, turns: asyncio.Semaphore, name: Name, start_ns: int
    ) -> None:
        super().__init__()
        self._desk, self._asked, self._turns, self._name = desk, asked, turns, name
        self._meter = Meter(desk.metrics, asked.model, start_ns)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._desk.check_admits()
            body = await self._body_unless_gone(receive)
        except Exception as error:
            self._meter.abandon("error")
            await ErrorResponse(error, self._name.public)(scope, receive, send)
            return
        finally:
            self._meter.abandon("abort")
        if body is not None:
            await self._send(body, send)

    async def _body_unless_gone(self, receive: Receive) -> bytes | None:
        gone = asyncio.create_task(disconnected(receive))
        work = asyncio.create_task(self._work())
        self._desk.enter(self._name.unique, work)
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if work.cancelled():
                raise Draining("the gateway shut down before this answer was complete")
            return work.result() if work.done() else None
        finally:
            gone.cancel()
            work.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            self._desk.leave(self._name.unique)

    async def _work(self) -> bytes:
        desk, asked = self._desk, self._asked
        async with self._turns:
            embedded = await desk.client.embed(asked.model, asked.texts)
            check_dimensions(asked.dimensions, embedded.vectors.shape[1])
            size = embedded.vectors.size * OPERATIONS_PER_NUMBER
            body = await desk.aside.run(
                size, lambda: write_embeddings(asked.model, embedded, asked.is_base64)
            )
        whole = Output("", 0, finish_reason="stop", num_prompt_tokens=embedded.num_tokens)
        self._meter.output(whole, desk.now_ns())
        return body

    async def _send(self, body: bytes, send: Send) -> None:
        """A client that stops reading is as good as gone: its connection closes."""
        length = str(len(body)).encode("ascii")
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        with suppress(TimeoutError):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for start in range(0, len(body), PIECE_BYTES):
                piece, more = body[start : start + PIECE_BYTES], start + PIECE_BYTES < len(body)
                async with asyncio.timeout(self._desk.settings.stall_timeout_s):
                    await send({"type": "http.response.body", "body": piece, "more_body": more})

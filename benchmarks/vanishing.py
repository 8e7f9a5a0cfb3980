"""Clients that vanish while their answer streams: over HTTP, and inside a virtual world."""

import asyncio
import json
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from cluster.api.request import Request
from cluster.gateway.router_client import MessageRouterClient
from workers.errors import DeadlineExceeded
from workers.node import Node

# SO_LINGER with no time: `close` resets the connection, as the kernel of a crashed client does.
RESET = struct.pack("ii", 1, 0)
# About the time to the first token of the demo: on the wall without emulation, and emulated.
FIRST_TOKEN_WALL_S = 0.2
FIRST_TOKEN_NS = 100_000


class AnswerEnded(RuntimeError):
    """The answer was complete before its client could vanish: nothing was tested."""


@dataclass(frozen=True, slots=True)
class Vanishing:
    """One client.

    num_chunks   it takes so many before it is gone
    patience     where it takes none: the share of a typical time to the first token that it waits
    resets       how its connection ends: reset, or closed
    """

    request: Request
    num_chunks: int
    patience: float
    resets: bool


def as_http(request: Request, host: str) -> bytes:
    """The request as a streaming call of the chat API."""
    assert request.retrieval is not None, "the demo's questions ask for passages"
    body = json.dumps(
        {
            "model": request.model,
            "messages": [dict(message) for message in request.messages],
            "max_tokens": request.sampling.max_tokens,
            "ignore_eos": request.sampling.ignore_eos,
            "stream": True,
            "retrieval": {"store": request.retrieval.store, "top_k": request.retrieval.top_k},
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def vanish_over_http(url: str, client: Vanishing) -> None:
    """Ask, take some chunks, be gone. Raises AnswerEnded."""
    address = urlsplit(url)
    assert address.hostname is not None and address.port is not None
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(as_http(client.request, address.netloc))
        await writer.drain()
        if not client.num_chunks:
            await asyncio.sleep(client.patience * FIRST_TOKEN_WALL_S)
        for _ in range(client.num_chunks):
            chunk = await reader.readuntil(b"\n\n")
            if b"[DONE]" in chunk or b"data: " not in chunk:
                raise AnswerEnded(chunk.decode(errors="replace"))
        if client.resets:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    finally:
        writer.transport.abort()  # closes without waiting for anything


async def vanish_inside(node: Node, router: MessageRouterClient, client: Vanishing) -> None:
    """The same without HTTP: the stream is closed after some outputs. Raises AnswerEnded."""
    stream = router.submit(client.request)
    try:
        if not client.num_chunks:
            until_ns = node.clock.now() + round(client.patience * FIRST_TOKEN_NS)
            with suppress(DeadlineExceeded):
                async with node.clock.deadline(until_ns):
                    await anext(stream)
        for _ in range(client.num_chunks):
            output = await anext(stream)
            if output.finish_reason:
                raise AnswerEnded(f"{output.request_id}: {output.finish_reason} {output.error}")
    finally:
        await stream.aclose()


def groups(clients: Sequence[Vanishing], sizes: Sequence[int]) -> list[Sequence[Vanishing]]:
    """Clients that come at once: alone, a few, many, alone again ..."""
    parts: list[Sequence[Vanishing]] = []
    start = 0
    while start < len(clients):
        size = sizes[len(parts) % len(sizes)]
        parts.append(clients[start : start + size])
        start += size
    return parts

"""A client that sends no more may still read; one that has gone is given up."""

import asyncio
import socket

import pytest

from cluster.api.output import Output
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, forever, world
from tests.cluster.gateway.test_disconnect import post

pytestmark = pytest.mark.live
SLOW_S = 0.3


class Slow(FakeRouter):
    """Waits before the first output, and between the two."""

    async def submit(self, request, waits=None):
        self.num_open += 1
        try:
            for i, (text, reason) in enumerate((("Hello", ""), (" world", "stop"))):
                await asyncio.sleep(SLOW_S)
                yield Output(request.request_id, i, (i,), text, (), reason)
        finally:
            self.num_open -= 1


def old(**body) -> bytes:
    """The same request in HTTP/1.0."""
    return post(**body).replace(b"HTTP/1.1", b"HTTP/1.0", 1)


async def answer_of(w, sent: bytes) -> bytes:
    """All that comes after a FIN behind the request, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(10):
        whole = await reader.read()
    writer.close()
    return whole


def data_of(answer: bytes) -> bytes:
    """The events of a stream, without the sizes of chunks."""
    lines = answer.split(b"\r\n\r\n", 1)[1].split(b"\n")
    return b"".join(line for line in lines if line.startswith(b"data: "))


@pytest.mark.parametrize("make", [post, old], ids=["1.1", "1.0"])
def test_it_gets_its_whole_answer_and_then_the_end(make) -> None:
    async def main() -> None:
        async with world(Slow()) as w:
            whole = await answer_of(w, make())
            assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
            assert whole.count(b"HTTP/1.1 ") == 1 and b'"text":"Hello world"' in whole
            refused = await answer_of(w, make(n="wrong"))
            assert refused.startswith(b"HTTP/1.1 400 ") and b"n is 'wrong'" in refused

    asyncio.run(main())


@pytest.mark.parametrize("make", [post, old], ids=["1.1", "1.0"])
def test_it_gets_its_stream(make) -> None:
    async def main() -> None:
        async with world(Slow()) as w:
            whole = await answer_of(w, make(stream=True))
            assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
            data = data_of(whole)
            assert data.count(b"Hello") == 1 == data.count(b" world")
            assert data.endswith(b"data: [DONE]")

    asyncio.run(main())


def test_short_answers_and_requests_that_came_together() -> None:
    async def main() -> None:
        async with world(Slow()) as w:
            ask = b"GET /version HTTP/1.0\r\n\r\n"
            assert b'{"version"' in await answer_of(w, ask)
            both = await answer_of(w, post() + post(stream=True))
            assert both.count(b"HTTP/1.1 200 OK") == 2
            assert b"Hello world" in both and b"[DONE]" in both

    asyncio.run(main())


def test_half_a_request_is_none() -> None:
    async def main() -> None:
        async with world() as w:
            assert await answer_of(w, post()[:-3]) == b""
            assert await answer_of(w, b"") == b""
            assert w.router.requests == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("script", "fields"),
    [(forever, {"stream": True}), (forever, {}), (lambda request: [asyncio.Event()], {})],
    ids=["mid stream", "whole", "before the first token"],
)
@pytest.mark.parametrize("make", [post, old], ids=["1.1", "1.0"])
def test_one_that_half_closes_and_then_goes_is_given_up(make, script, fields) -> None:
    """Soon after: what is sent to see whether it is there goes out ever less often."""

    async def main() -> None:
        async with world(FakeRouter(script=script)) as w:
            reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
            writer.write(make(**fields))
            writer.write_eof()
            await w.router.opened.wait()
            if fields:
                await reader.readuntil(b"\n\n")
            await asyncio.sleep(0.05)
            assert w.router.num_open == 1
            writer.transport.abort()
            await w.router.until_closed()

    asyncio.run(main())


def test_the_end_of_a_connection_between_requests_closes_it() -> None:
    async def main() -> None:
        async with world() as w:
            reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
            writer.write(post())
            await reader.readuntil(b"}}")
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
            async with asyncio.timeout(10):
                assert await reader.read(1000) in (b"", b"}")
                assert await reader.read() == b""
            writer.close()
            assert w.router.requests[0].model == MODEL

    asyncio.run(main())

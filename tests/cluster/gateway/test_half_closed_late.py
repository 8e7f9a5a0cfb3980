"""A client that closes its sending side after its answer has begun gets all the rest."""

import asyncio
import logging

import orjson
import pytest

from cluster.api.output import Output
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, World, world
from tests.cluster.gateway.test_disconnect import post
from tests.cluster.gateway.test_half_closed import Slow, data_of, old

pytestmark = pytest.mark.live
LARGE_BYTES = 12_000_000


def chunked(**body: object) -> bytes:
    """The same request, its body in two chunks."""
    head, _, raw = post(**body).partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"content-length")]
    lines.append(b"transfer-encoding: chunked")
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (raw[:9], raw[9:]))
    return b"\r\n".join(lines) + b"\r\n\r\n" + parts + b"0\r\n\r\n"


async def begun(w: World, sent: bytes, until: bytes) -> tuple[bytes, bytes]:
    """What comes until then, and what comes after the FIN that follows, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
    writer.write(sent)
    async with asyncio.timeout(20):
        first = await reader.readuntil(until)
        writer.write_eof()
        await asyncio.sleep(0.05)
        rest = await reader.read()
    writer.close()
    return first, rest


@pytest.mark.parametrize("make", [post, old, chunked], ids=["1.1", "1.0", "chunked"])
def test_a_stream_goes_on(make, caplog) -> None:
    async def main() -> None:
        async with world(Slow()) as w:
            first, rest = await begun(w, make(stream=True), b"Hello")
            whole = first + rest
            assert whole.count(b"HTTP/1.1 ") == 1
            data = data_of(whole)
            assert data.count(b"Hello") == 1 == data.count(b" world")
            assert data.endswith(b"data: [DONE]") and b"error" not in whole

    asyncio.run(main())
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_a_stream_on_a_connection_that_was_kept() -> None:
    async def main() -> None:
        async with world(Slow()) as w:
            reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
            async with asyncio.timeout(20):
                writer.write(post())
                await reader.readuntil(b"}}")
                writer.write(post(stream=True))
                await reader.readuntil(b"Hello")
                writer.write_eof()
                rest = await reader.read()
            writer.close()
            assert b" world" in rest and b"[DONE]" in rest and b"HTTP/1.1" not in rest

    asyncio.run(main())


def test_the_next_request_that_came_with_it_is_answered_too() -> None:
    async def main() -> None:
        async with world(Slow()) as w:
            first, rest = await begun(w, post(stream=True) + post(), b"Hello")
            assert (first + rest).count(b"HTTP/1.1 200 OK") == 2
            assert rest.endswith(b"}") and b'"text":"Hello world"' in rest
            # Of one that had not come whole nothing is waited for.
            first, rest = await begun(w, post(stream=True) + post()[:-3], b"Hello")
            assert (first + rest).count(b"HTTP/1.1 ") == 1 and b"[DONE]" in rest

    asyncio.run(main())


def test_a_large_answer_arrives_whole(caplog) -> None:
    def script(request):
        return [Output(request.request_id, 0, (1,), "x" * LARGE_BYTES, finish_reason="stop")]

    async def main() -> None:
        async with world(FakeRouter(script=script)) as w:
            first, rest = await begun(w, post(), b"\r\n\r\n")
            assert f"content-length: {len(rest)}\r\n".encode() in first
            assert len(orjson.loads(rest)["choices"][0]["text"]) == LARGE_BYTES

    asyncio.run(main())
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def upload(num_bytes: int) -> bytes:
    """A file of so many bytes."""
    parts = [
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n',
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n',
        b"x" * num_bytes + b"\r\n--b--\r\n",
    ]
    raw = b"".join(parts)
    head = b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b"
    return head + b"\r\ncontent-length: %d\r\n\r\n" % len(raw) + raw


@pytest.mark.parametrize("closes_both", [False, True])
@pytest.mark.parametrize("sent", [post(prompt="x" * 1_001), upload(1_001)], ids=["body", "file"])
def test_an_end_after_413_is_no_fault(sent, closes_both, caplog) -> None:
    """The answer has begun, and what the client still sends is being thrown away."""

    async def main() -> None:
        async with world(FakeRouter(), max_body_bytes=1000, max_file_bytes=1000) as w:
            reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
            writer.write(sent)
            async with asyncio.timeout(10):
                first = await reader.readuntil(b"request_too_large")
                if closes_both:
                    writer.close()
                else:
                    writer.write_eof()
                    await reader.read()
            assert first.startswith(b"HTTP/1.1 413 ")
            await asyncio.sleep(0.2)
            assert (await w.complete(model=MODEL)).status_code == 200
            writer.close()

    asyncio.run(main())
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]

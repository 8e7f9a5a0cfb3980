"""A request whose headers never end holds no connection."""

import asyncio
import time

import pytest

from tests.cluster.gateway.fake_router import world
from tests.cluster.gateway.test_disconnect import post

pytestmark = pytest.mark.live
TIMEOUT_S = 0.3


async def closed_after(w, *sent: bytes, answered: bool = False) -> float:
    """Seconds until the server closes, or 9; a byte of a header comes now and then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
    if answered:
        writer.write(post())
        await reader.readuntil(b"}}")
    start = time.perf_counter()
    reading = asyncio.create_task(reader.read())
    for data in sent:
        writer.write(data)
        await asyncio.sleep(TIMEOUT_S / 4)
    await asyncio.wait((reading,), timeout=9)
    reading.cancel()
    writer.close()
    return time.perf_counter() - start


@pytest.mark.parametrize("answered", [False, True], ids=["first", "kept"])
@pytest.mark.parametrize("sent", [[b"GET /hea"], [b"GET / HTTP/1.1\r\n", *[b"x"] * 7]])
def test_half_a_header_is_not_waited_for(answered: bool, sent: list[bytes]) -> None:
    async def main() -> None:
        async with world(body_timeout_s=TIMEOUT_S) as w:
            assert TIMEOUT_S * 0.9 < await closed_after(w, *sent, answered=answered) < 5
            assert (await w.complete()).status_code == 200

    asyncio.run(main())


def test_a_connection_on_which_nothing_comes_is_closed() -> None:
    async def main() -> None:
        async with world(body_timeout_s=TIMEOUT_S) as w:
            assert await closed_after(w) < 5

    asyncio.run(main())


def test_a_long_answer_is_not_cut_off_and_a_kept_connection_stays() -> None:
    async def main() -> None:
        async with world(body_timeout_s=TIMEOUT_S) as w:
            reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
            for _ in range(2):
                writer.write(post())
                await reader.readuntil(b"}}")
                await reader.read(1)
                await asyncio.sleep(2 * TIMEOUT_S)
            writer.close()
            assert len(w.router.requests) == 2

    asyncio.run(main())

"""Streams: a piece is passed on before the next exists. Each side waits for the other, so a
forwarder that kept a piece back would leave both waiting.
"""

import asyncio

import pytest

from tests.cluster.worlds.machines.served import forwarding, head, piece

pytestmark = pytest.mark.live
EVENTS = ((b"content-type", b"text/event-stream"),)


def test_the_first_event_arrives_before_the_second_is_sent():
    async def main() -> list[str]:
        order: list[str] = []
        first_is_there = asyncio.Event()

        async def gateway(scope, receive, send):
            await head(send, headers=EVENTS)
            await piece(send, b"data: 1\n\n")
            await first_is_there.wait()
            order.append("the second is sent")
            await piece(send, b"data: 2\n\n")
            await piece(send, b"data: [DONE]\n\n", more=False)

        async with forwarding(gateway) as client, client.stream("GET", "/v1/x") as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            events = answer.aiter_lines()
            assert await anext(events) == "data: 1"
            order.append("the first is there")
            first_is_there.set()
            rest = [line async for line in events if line]
            assert rest == ["data: 2", "data: [DONE]"]
        return order

    assert asyncio.run(main()) == ["the first is there", "the second is sent"]


def test_a_body_is_passed_on_while_it_arrives():
    async def main() -> bytes:
        first_is_there = asyncio.Event()

        async def gateway(scope, receive, send):
            message = await receive()
            first_is_there.set()
            read = message["body"]
            while message["more_body"]:
                message = await receive()
                read += message["body"]
            await head(send)
            await piece(send, read, more=False)

        async def body():
            yield b"one "
            await first_is_there.wait()
            yield b"two"

        async with forwarding(gateway) as client:
            return (await client.post("/v1/files", content=body())).content

    assert asyncio.run(main()) == b"one two"


@pytest.mark.parametrize("streaming", [True, False], ids=["mid stream", "before the head"])
def test_the_gateway_hears_a_client_go(streaming):
    async def main() -> str:
        heard = asyncio.get_running_loop().create_future()
        asked = asyncio.Event()

        async def gateway(scope, receive, send):
            while (await receive()).get("more_body"):
                pass
            if streaming:
                await head(send, headers=EVENTS)
                await piece(send, b"data: 1\n\n")
            asked.set()
            heard.set_result((await receive())["type"])

        async with forwarding(gateway) as client:

            async def ask() -> None:
                async with client.stream("POST", "/", content=b"{}") as answer:
                    async for _ in answer.aiter_raw():
                        await asyncio.Event().wait()

            asking = asyncio.create_task(ask())
            await asked.wait()
            asking.cancel()
            return await heard

    assert asyncio.run(main()) == "http.disconnect"


def test_a_client_that_goes_while_it_sends_is_not_taken_for_one_that_has_ended():
    """A body cut short is no body: the gateway must not act on it."""

    async def main() -> list[str]:
        read: list[str] = []
        first_is_there, ended = asyncio.Event(), asyncio.Event()

        async def gateway(scope, receive, send):
            while True:
                message = await receive()
                read.append(message["type"])
                first_is_there.set()
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    ended.set()
                    return

        async with forwarding(gateway) as client:

            async def body():
                yield b"half"
                await asyncio.Event().wait()

            sending = asyncio.create_task(client.post("/", content=body()))
            await first_is_there.wait()
            sending.cancel()
            await ended.wait()
        return read

    assert asyncio.run(main()) == ["http.request", "http.disconnect"]

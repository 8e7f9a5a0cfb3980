"""What an outbox counts as written: all that was taken, once the next is asked for."""

import asyncio

from workers.wire.transport.outbox import Outbox


def test_an_outbox_whose_packets_are_written_is_flushed_and_drops_nothing() -> None:
    """While a packet is being written there is something to lose; when the writer asks for the
    next one there is not.
    """

    async def scenario() -> None:
        async with asyncio.timeout(10):
            outbox = Outbox("peer", 1_000)
            outbox.put(b"frame")
            await outbox.take()
            flushing = asyncio.ensure_future(outbox.flushed())
            await asyncio.sleep(0)
            assert not flushing.done(), "it is being written"
            writer = asyncio.ensure_future(outbox.take())
            await flushing
            await outbox.flushed()  # at once
            assert not outbox.end("a test"), "nothing was dropped"
            writer.cancel()

    asyncio.run(scenario())


def test_a_packet_that_is_being_written_is_lost_with_the_peer() -> None:
    async def scenario() -> None:
        outbox = Outbox("peer", 1_000)
        outbox.put(b"frame")
        await outbox.take()
        assert outbox.end("a test")
        await asyncio.wait_for(outbox.flushed(), 10)

    asyncio.run(scenario())

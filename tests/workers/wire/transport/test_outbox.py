"""The bounded queue before a stream, and the packets it makes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.wire.transport.messages import numbered
from workers.errors import CorruptMessage, PeerDead
from workers.wire.transport.frame import decode, encode
from workers.wire.transport.frame_arrays import ALIGNMENT_BYTES
from workers.wire.transport.outbox import PACKET_BYTES, Outbox
from workers.wire.transport.packet import pack, unpack

SIZES = st.lists(st.integers(0, 300), min_size=1, max_size=8)


@given(SIZES)
def test_a_packet_holds_its_frames_aligned_and_in_order(sizes: list[int]) -> None:
    packet = pack([encode(numbered(i, 8 * size)) for i, size in enumerate(sizes)])
    frames = list(unpack(packet))
    assert [decode(frame).message_id for frame in frames] == list(range(len(sizes)))
    start = 0
    for frame in frames:
        assert packet[start : start + len(frame)] == bytes(frame)
        start += len(frame) + -len(frame) % ALIGNMENT_BYTES


@given(SIZES, st.data())
def test_a_cut_packet_is_refused_at_the_frame_that_is_cut(
    sizes: list[int], data: st.DataObject
) -> None:
    frames = [encode(numbered(i, 8 * size)) for i, size in enumerate(sizes)]
    packet = pack(frames)
    cut = packet[: data.draw(st.integers(0, len(packet) - 1))]
    got = []
    try:
        for frame in unpack(cut):
            got.append(bytes(frame))  # noqa: PERF401  # what came before the cut must stay
    except CorruptMessage:
        pass
    else:  # cut in the gap after a frame
        assert len(got) < len(frames)
    assert got == frames[: len(got)]


def test_a_writer_takes_small_frames_together_and_large_ones_alone() -> None:
    async def scenario() -> None:
        outbox = Outbox("peer", 10**6)
        for size in (10, 20, PACKET_BYTES, 30):
            outbox.put(bytes(size))
        lengths = [len(await outbox.take()) for _ in range(3)]
        assert lengths == [ALIGNMENT_BYTES + 20, PACKET_BYTES, 30]
        assert outbox.num_bytes == 0

    asyncio.run(scenario())


def test_senders_get_room_in_the_order_in_which_they_came() -> None:
    async def scenario() -> None:
        outbox, done = Outbox("peer", 100), []

        async def send(i: int) -> None:
            if outbox.must_wait():
                await outbox.room()
            outbox.put(bytes(100))
            done.append(i)

        tasks = [asyncio.create_task(send(i)) for i in range(4)]
        await asyncio.sleep(0)
        assert done == [0]
        tasks[1].cancel()
        for _ in range(3):
            await outbox.take()
            await asyncio.gather(*tasks[: len(done) + 2], return_exceptions=True)
        assert done == [0, 2, 3]

    asyncio.run(scenario())


def test_a_sender_that_is_cancelled_in_its_turn_passes_it_on() -> None:
    async def scenario() -> None:
        outbox = Outbox("peer", 100)
        outbox.put(bytes(100))
        first, second = (asyncio.create_task(outbox.room()) for _ in range(2))
        await asyncio.sleep(0)
        await outbox.take()  # gives the first its turn, which it will not live to use
        first.cancel()
        await second
        assert first.cancelled()

    asyncio.run(scenario())


def test_the_end_fails_those_who_wait_and_all_later_ones() -> None:
    async def scenario() -> None:
        outbox = Outbox("peer", 100)
        outbox.put(bytes(100))
        waiting = asyncio.create_task(outbox.room())
        flushing = asyncio.create_task(outbox.flushed())
        await asyncio.sleep(0)
        assert outbox.end("it crashed")
        assert not outbox.end("again")
        await flushing
        for wait in (waiting, outbox.room()):
            with pytest.raises(PeerDead, match="it crashed"):
                await wait
        with pytest.raises(PeerDead, match="'peer'"):
            outbox.must_wait()

    asyncio.run(scenario())


def test_it_is_flushed_once_the_last_write_is_done() -> None:
    """A frame that was taken is still being written until the writer comes back for more."""

    async def scenario() -> None:
        outbox = Outbox("peer", 100)
        await outbox.flushed()
        outbox.put(bytes(10))
        flushing = asyncio.create_task(outbox.flushed())
        await outbox.take()
        await asyncio.sleep(0)
        assert not flushing.done()
        more = asyncio.create_task(outbox.take())
        await flushing
        more.cancel()

    asyncio.run(scenario())

"""A slow way for KV makes chunks wait, as many as there are; it ends nothing."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tests.workers.bench import Bench, make_link
from workers.kv.blocks import BlockManager
from workers.kv.handover import Destination, Handover
from workers.wire.kinds.kv import KvBlocks, Start
from workers.wire.message import Message

CHUNKS = 1_500


class OneByteBlocks:
    """As much of a model as a handover asks for."""

    block_size, block_bytes, kv_tier = 1, 1, "hbm"

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[np.uint8]:
        return np.array([[block % 256] for block in block_ids], dtype=np.uint8)


def test_more_chunks_than_ever_fit_wait_for_a_slow_link() -> None:
    """1,500 chunks of a block each are there before the first has crossed a link of 10 kB/s, some 8
    ms: each block arrives once, then `start`, and the report knows that nearly all waited. Was:
    QueueFull, out of the loop of the chip, at the 1,025th.
    """
    blocks: list[int] = []
    firsts: list[int] = []

    def took(message: Message[KvBlocks]) -> None:
        blocks.extend(message.content.index.tolist())

    def begun(message: Message[Start]) -> None:
        firsts.append(message.content.token)

    async def job(bench: Bench) -> int:
        port = bench.port("decode")
        port.on(KvBlocks, took)
        port.on(Start, begun)
        node, model = bench.nodes["prefill"], cast(Any, OneByteBlocks())
        to = Destination("decode", 0)
        pins = BlockManager(CHUNKS, 1)
        block_ids = pins.allocate(CHUNKS)
        handover = Handover(node, bench.port("prefill"), model, pins, "r", to, 10**12)
        sending = node.spawn(handover.send(), "send")
        for computed in range(1, CHUNKS + 1):
            handover.computed(block_ids, computed, 7 if computed == CHUNKS else None)
        await sending
        pins.free(block_ids)
        assert pins.num_free == CHUNKS
        return node.queues["KV chunks of prefill"].length

    slow = {"prefill": make_link(bytes_per_s=10_000)}
    assert CHUNKS - 10 <= Bench("prefill", "decode", links=slow).run(job) <= CHUNKS
    assert sorted(blocks) == list(range(CHUNKS))
    assert firsts == [7]

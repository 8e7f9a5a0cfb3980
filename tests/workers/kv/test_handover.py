"""A handover sends each block that the destination lacks once, whatever prefill does meanwhile."""

from typing import Any

import numpy as np
import pytest

from tests.workers.bench import SECOND_NS, Bench
from workers.chip.job import Job
from workers.chip.sequence import Sequence
from workers.errors import NotFound
from workers.kv.blocks import BlockManager
from workers.kv.handover import Destination, Handover
from workers.model.sampling_params import SamplingParams
from workers.wire.kind import Reply
from workers.wire.kinds.kv import KvBlocks, Start
from workers.wire.message import Message

SIZE = 16
# Logical block i lies in physical block IDS[i].
IDS = tuple(range(100, 108))


class Cache:
    """A model as a handover knows it: a block's content is its physical number."""

    block_size, block_bytes, kv_tier = SIZE, 64, "hbm"

    def read_blocks(self, block_ids: tuple[int, ...]) -> Any:
        return np.array([[number] * 16 for number in block_ids], dtype=np.float32)


def handed_over(
    first_block: int, chunks: list[tuple[int, int | None]]
) -> tuple[list[tuple[int, int]], list[int]]:
    """(logical block, content) in the order of arrival, and the first tokens that arrived, of a
    prefill whose steps leave so many tokens in the cache.
    """
    arrived: list[tuple[int, int]] = []
    tokens: list[int] = []

    def take(message: Message[KvBlocks]) -> Reply:
        content = message.content
        arrived.extend(zip(content.index.tolist(), content.blocks[:, 0].tolist(), strict=True))
        return Reply()

    def begin(message: Message[Start]) -> Reply:
        tokens.append(message.content.token)
        return Reply()

    async def job(bench: Bench) -> None:
        there = bench.port("decode")
        there.on(KvBlocks, take)
        there.on(Start, begin)
        node, port, model = bench.node("prefill"), bench.port("prefill"), Cache()
        to = Destination("decode", first_block)
        pins = BlockManager(200, SIZE)
        held = pins.allocate(200)
        handover = Handover(node, port, model, pins, "r", to, SECOND_NS)  # type: ignore[arg-type]
        task = node.spawn(handover.send(), "handover")
        for num_tokens, first_token in chunks:
            handover.computed(IDS, num_tokens, first_token)
            await bench.clock.wait_until(bench.clock.now() + SECOND_NS // 100)
        await task
        pins.free(held)
        assert pins.num_free == 200, "what was read is let go of"

    Bench("prefill", "decode").run(job)
    return arrived, tokens


CHUNKS: dict[str, tuple[int, list[tuple[int, int | None]], list[int]]] = {
    # Steps of 2, 5 and 7 full blocks; the last one, of 6 tokens, comes with the first token.
    "from the start": (0, [(32, None), (80, None), (112, None), (118, 7)], [*range(8)]),
    # Blocks 0-3 are there: a step that ends beneath them sends nothing, the next from 4 on.
    "beyond a cached prefix": (4, [(32, None), (80, None), (118, 7)], [4, 5, 6, 7]),
    # Preempted after 80 tokens, it computes the first 48 again: those went long ago.
    "after a preemption": (4, [(80, None), (48, None), (112, None), (118, 7)], [4, 5, 6, 7]),
    "after a preemption, from the start": (0, [(80, None), (32, None), (118, 7)], [*range(8)]),
    # 118 tokens are 7 full blocks: all of them are there.
    "all but the last": (7, [(64, None), (112, None), (118, 7)], [7]),
    "in one step": (2, [(118, 7)], [2, 3, 4, 5, 6, 7]),
    # 112 tokens end with their block, and the destination has it.
    "nothing at all": (7, [(64, None), (112, 7)], []),
}


@pytest.mark.parametrize("case", CHUNKS)
def test_each_block_beyond_the_cached_prefix_goes_once_and_in_order(case: str) -> None:
    """The blocks beneath `first_block` are shared there, perhaps with running sequences: nothing
    may be written into them.
    """
    first_block, chunks, expected = CHUNKS[case]
    arrived, tokens = handed_over(first_block, chunks)
    assert arrived == [(index, IDS[index]) for index in expected]
    assert tokens == [7], "the first token comes once, after all blocks"


def test_blocks_that_wait_to_be_read_are_nobody_else_s() -> None:
    """Two blocks are computed; then their sequence is preempted, and somebody wants blocks: of four
    he gets the other two, until the two have been read or the handover is given up.
    """

    async def job(bench: Bench) -> None:
        node, port, model = bench.node("prefill"), bench.port("prefill"), Cache()
        blocks = BlockManager(4, SIZE)
        mine = blocks.allocate(2)
        to = Destination("decode", 0)
        handover = Handover(node, port, model, blocks, "r", to, SECOND_NS)  # type: ignore[arg-type]
        handover.computed(mine, 2 * SIZE, None)
        blocks.free(mine)
        assert blocks.num_free == 2 and not set(blocks.allocate(2)) & set(mine)
        assert not blocks.can_allocate(1)
        handover.close()
        handover.close()
        assert sorted(blocks.allocate(2)) == sorted(mine)

    Bench("prefill", "decode").run(job)


class SlowCache(Cache):
    """A block is read in 10 us."""

    block_bytes = 10_000


def test_a_hand_over_that_is_refused_keeps_no_block_that_waits_to_be_read() -> None:
    """The first block is refused while the second is read: its own task ends the job."""

    def refuse(message: Message[KvBlocks]) -> Reply:
        raise NotFound("there is no such sequence")

    async def job(bench: Bench) -> None:
        bench.port("decode").on(KvBlocks, refuse)
        node, port, model = bench.node("prefill"), bench.port("prefill"), SlowCache()
        pins = BlockManager(4, SIZE)
        mine = pins.allocate(2)
        to = Destination("decode", 0)
        handed = Job(Sequence("r", [1], 1), SamplingParams(), "prefill", 0)
        what: Any = node, port, model, pins, "r", to, SECOND_NS
        handed.handover = Handover(*what)

        async def hand_over() -> None:
            assert handed.handover is not None
            with pytest.raises(NotFound):
                await handed.handover.send()
            assert pins.num_pinned == 1
            handed.end()

        handed.task = node.spawn(hand_over(), "handover")
        handed.handover.computed(mine, SIZE, None)
        await bench.clock.wait_until(8_000)
        handed.handover.computed(mine, 2 * SIZE, None)
        await handed.task
        assert pins.num_pinned == 0

    Bench("prefill", "decode").run(job)

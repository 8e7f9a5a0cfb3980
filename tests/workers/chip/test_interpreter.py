"""What a program may ask for, each done for real: one chip, tensor-parallel ranks, pipeline
stages, in one micro-batch and in two.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.heads import Heads
from tests.workers.bench import Bench
from tests.workers.chip.ranks import (
    NUM_BLOCKS,
    TABLE,
    Group,
    RankReducer,
    interpreter,
    items_of,
    sequences,
    serve_experts,
    take,
)
from tests.workers.model.models import SIZES, write_model
from tests.workers.wire.calls import assert_idle
from workers.chip.batch import Batch, micro_batches
from workers.chip.interpreter import Interpreter, Lane
from workers.model.base import ChipModel
from workers.model.forward import as_it_is, forward, stage
from workers.model.plain.chip_model import PlainChipModel
from workers.model.plain.rank import PlainRank
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams
from workers.node import Node

PROMPTS = [[5, 9, 31, 7], [2], [44, 3, 3, 8, 19, 60, 1], list(range(20, 57)), [12, 13]]
NUM_TOKENS = 9
BOTH: Any = pytest.mark.parametrize("count", [1, 2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.model.factory.lib", None)  # the reference is of the same kind
        yield write_model(tmp_path_factory.mktemp("programs"), sizes=SIZES)


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[list[int]]:
    """Each prompt's answer by one process."""
    params, reference = SamplingParams(max_tokens=NUM_TOKENS), Reference(folder)
    return [list(reference.generate(ids, params).token_ids) for ids in PROMPTS]


async def generate(runs: Interpreter, model: ChipModel, count: Literal[1, 2]) -> list[list[int]]:
    """Greedy answers to all prompts in shared steps; the first step is their prefill."""
    seqs = sequences(PROMPTS)
    for _ in range(NUM_TOKENS):
        batches = micro_batches(items_of(seqs), count)
        lanes = [
            Lane(b, forward(model, partial(model.embed, b.token_ids_T), b.layout)) for b in batches
        ]
        await runs.run(lanes, TABLE)
        take(batches, [model.logits(lane.result(), lane.batch.last_rows) for lane in lanes])
    return [seq.output_token_ids for seq in seqs]


@BOTH
def test_one_chip_and_its_shards(folder: Path, expected: list[list[int]], count: Any) -> None:
    async def job(bench: Bench) -> None:
        serve_experts(bench, folder)
        runs = interpreter(bench.node("chip"))
        assert await generate(runs, PlainChipModel(folder, NUM_BLOCKS), count) == expected
        assert_idle(bench)

    Bench("chip", "shard-0", "shard-1").run(job)


# -- tensor parallel -------------------------------------------------------------------------------


@BOTH
def test_two_halves_of_the_heads_give_the_same_tokens(
    folder: Path, expected: list[list[int]], count: Any
) -> None:
    async def job(bench: Bench) -> None:
        serve_experts(bench, folder)
        group = Group(2)
        tasks = []
        for rank, name in enumerate(("rank-0", "rank-1")):
            model = PlainRank(folder, Heads(rank, 1), NUM_BLOCKS)
            runs = interpreter(bench.node(name), reducer=RankReducer(group, rank))
            tasks.append(bench.node(name).spawn(generate(runs, model, count), name))
        assert [await task for task in tasks] == [expected, expected]
        # A share a layer, a step and a micro-batch; and no rank has the sum by itself.
        assert len(group.rounds) == 2 * NUM_TOKENS * count
        assert all(share.any() for shares in group.rounds for share in shares.values())
        assert_idle(bench)

    Bench("rank-0", "rank-1", "shard-0", "shard-1").run(job)


def test_of_one_rank_the_share_is_the_sum_and_costs_nothing(folder: Path) -> None:
    """All heads in one rank: the bits of the model that asks for no sum, in the launches' time."""
    whole, rank = PlainChipModel(folder, 8), PlainRank(folder, Heads(0, 2), 8)

    async def job(bench: Bench) -> None:
        serve_experts(bench, folder)
        runs, took_ns, rows = interpreter(bench.node("chip")), [], []
        for model in (whole, rank):
            batch = Batch(items_of(sequences(PROMPTS[:1])))
            embed = partial(model.embed, batch.token_ids_T)
            lane = Lane(batch, forward(model, embed, batch.layout))
            took_ns.append((await runs.run([lane], TABLE)).compute_ns)
            rows.append(lane.result())
        assert np.array_equal(*rows)
        assert took_ns[0] == took_ns[1] > 0

    Bench("chip", "shard-0", "shard-1").run(job)
    assert rank.attend_work(0, _layout()) == whole.attend_work(0, _layout())


def test_a_rank_declares_and_holds_its_own_heads_alone(folder: Path) -> None:
    whole, half = PlainChipModel(folder, 8), PlainRank(folder, Heads(1, 1), 8)
    assert 2 * half.block_bytes == whole.block_bytes
    all_work, work = (m.attend_work(0, _layout()).amounts() for m in (whole, half))
    gate = 4 * SIZES["num_experts"] * SIZES["hidden_size"]
    norms = 4 * (2 * SIZES["hidden_size"] + 2 * SIZES["head_dim"])
    kv = 3 * 2 * 8 * 4  # of three tokens: key and value of one head of eight numbers
    rows = 3 * 4 * SIZES["hidden_size"]  # of the embedding: each rank has all of it
    matrices = all_work["hbm.read"] - gate - norms - rows - 2 * kv
    assert work["hbm.read"] == matrices // 2 + gate + norms + rows + kv
    assert work["hbm.write"] == kv
    with pytest.raises(ValueError, match="has 0 to 1"):
        PlainRank(folder, Heads(1, 2), 8)


def _layout() -> Any:
    return Batch(items_of(sequences([[1, 2, 3]]))).layout


# -- pipeline --------------------------------------------------------------------------------------


class ToMailbox:
    """A `NextStage`: rows lie in the next node's mailbox."""

    def __init__(self, node: Node) -> None:
        self.mailbox = node.mailbox(64)

    async def send(self, batch: Batch, rows_T: NDArray[Any]) -> None:
        self.mailbox.put((batch, rows_T))


@BOTH
def test_two_stages_give_the_same_tokens(
    folder: Path, expected: list[list[int]], count: Any
) -> None:
    """One layer each, each with its own KV; the second stage samples."""

    async def job(bench: Bench) -> None:
        serve_experts(bench, folder)
        first_node, last_node = bench.node("stage-0"), bench.node("stage-1")
        first, last = PlainChipModel(folder, NUM_BLOCKS), PlainChipModel(folder, NUM_BLOCKS)
        way, sampled = ToMailbox(last_node), first_node.mailbox(64)
        seqs = sequences(PROMPTS)

        async def begin() -> None:
            runs = interpreter(first_node, next_stage=way)
            for _ in range(NUM_TOKENS):
                batches = micro_batches(items_of(seqs), count)
                lanes = [
                    Lane(b, stage(first, partial(first.embed, b.token_ids_T), b.layout, range(1)))
                    for b in batches
                ]
                await runs.run(lanes, TABLE)
                for _ in batches:
                    batch, logits_RV = await sampled.get()
                    take([batch], [logits_RV])

        async def finish() -> None:
            runs = interpreter(last_node)
            while True:
                batch, rows_T = await way.mailbox.get()
                enter = partial(as_it_is, rows_T)
                lane = Lane(batch, forward(last, enter, batch.layout, range(1, 2)))
                await runs.run([lane], TABLE)
                sampled.put((batch, last.logits(lane.result(), batch.last_rows)))

        last_node.spawn(finish(), "finish")
        await first_node.spawn(begin(), "begin")
        assert [seq.output_token_ids for seq in seqs] == expected
        # Neither stage could have done it alone: each has one layer's keys and no other.
        kept = [m.read_blocks((0,))[0].any(axis=(1, 2, 3, 4)).tolist() for m in (first, last)]
        assert kept == [[True, False], [False, True]]
        assert_idle(bench)

    Bench("stage-0", "stage-1", "shard-0", "shard-1").run(job)

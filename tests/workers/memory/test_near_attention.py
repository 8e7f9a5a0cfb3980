"""A memory server that keeps KV of running sequences: parts over it, its bytes, and their time."""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

from configs.families import load_model
from configs.precision import EXACT
from configs.schema.device import EngineSpec
from kernels.paged.layout import Layout, Span
from tests.workers.bench import Bench, make_device, make_tier
from tests.workers.model.models import KERNEL_QWEN, write_config
from tests.workers.model.test_partial import filled
from workers.errors import CorruptMessage, InvalidRequest
from workers.host.trace import Ran
from workers.kv.checksums import block_checksums
from workers.kv.identity import far_owner
from workers.memory.near_attention import NearAttention
from workers.model.parts.kv_form import KvForm
from workers.wire.kind import Kind
from workers.wire.kinds.near import NearAttend, NearDrop, NearFetch, NearPut

A = TypeVar("A")
SIZE, LAYER = 16, 1
EPOCH = 1  # of a node that never failed
ONE, FOUR = np.array([7], dtype=np.uint64), np.array([4], dtype=np.int64)
# The main engine is ten times as slow as the one beside the tier.
BESIDE = {"beside": EngineSpec.model_validate({"compute": {"fp32": "10 GFLOP/s"}})}


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> KvForm:
    config = load_model(write_config(tmp_path_factory.mktemp("near"), KERNEL_QWEN))
    return KvForm(config, EXACT, SIZE)


def stand(form: KvForm, num_blocks: int = 5) -> tuple[Bench, NearAttention]:
    device = make_device({"ddr": make_tier(page_bytes=64)}, default_tier="ddr", engines=BESIDE)
    bench = Bench("chip", "memory", device=device)
    return bench, NearAttention(bench.node("memory"), "memory", form, num_blocks, "ddr", "beside")


async def call(bench: Bench, content: Kind[A]) -> A:
    deadline_ns = bench.clock.now() + 10**12
    return await bench.port("chip").call("memory", content, deadline_ns=deadline_ns, request_id="r")


def put(blocks: Any, index: list[int], number: int = 7) -> NearPut:
    content, whose = blocks[index], far_owner("chip", number, EPOCH).places(index)
    return NearPut(number, np.array(index), block_checksums(content, whose), content)


def test_a_part_is_attention_over_the_blocks_before_the_limit(form: KvForm) -> None:
    """Blocks 3 and 1 of a sequence; another has block 1 alone, and one is not known."""
    cache = filled(form, 4)
    blocks = cache.read_blocks(np.arange(4))
    q_TND = np.random.default_rng(5).normal(size=(4, *form.query_shape)).astype(np.float32)
    bench, _ = stand(form)

    async def job(bench: Bench) -> None:
        assert (await call(bench, put(blocks, [3, 1]))).kept
        assert (await call(bench, put(blocks, [1, 2], number=8))).kept
        numbers, limits = np.array([7, 8, 9], np.uint64), np.array([4, 2, 4])
        asked = NearAttend(LAYER, numbers, limits, np.array([2, 1, 1]), q_TND)
        told = await call(bench, asked)
        assert told.num_blocks.tolist() == [2, 1, 0]
        for rows, ids in ((slice(0, 2), [1, 3]), (slice(2, 3), [1])):
            end = len(ids) * SIZE
            span = Span(end, rows.stop - rows.start, ids, 0, end)
            want = form.attend(cache, LAYER, q_TND[rows], Layout([span]))
            np.testing.assert_array_equal(told.out[rows], want.out_TND)
            np.testing.assert_array_equal(told.lse[rows], want.lse_TN)
        assert np.isneginf(told.lse[3]).all()
        shipped = await call(bench, NearFetch(LAYER, numbers, limits))
        assert shipped.num_blocks.tolist() == [2, 1, 0]
        by_layer = blocks.reshape(4, cache.num_layers, -1)
        np.testing.assert_array_equal(shipped.blocks, by_layer[[1, 3, 1], LAYER])

    bench.run(job)


def test_it_takes_the_tiers_and_the_engines_time(form: KvForm) -> None:
    """Four blocks of 16 tokens, a row of 2 x 2 heads x 32 x 4 bytes: 32,768 bytes at 1 a ns. Two
    queries meet 64 keys in 4 heads of 32, each once for its score and once for its value:
    4 x 64 x 2 x 128 operations at 10 a ns.
    """
    blocks = filled(form, 4).read_blocks(np.arange(4))
    q_TND = np.zeros((2, *form.query_shape), dtype=np.float32)
    bench, _ = stand(form)

    async def job(bench: Bench) -> None:
        await call(bench, put(blocks, [0, 1, 2, 3]))
        await call(bench, NearAttend(LAYER, ONE, FOUR, np.array([2]), q_TND))
        many = np.zeros((16, *form.query_shape), dtype=np.float32)
        await call(bench, NearAttend(LAYER, ONE, FOUR, np.array([16]), many))
        await call(bench, NearFetch(LAYER, ONE, FOUR))
        took = [(r.work, r.took_ns) for r in bench.trace.records if isinstance(r, Ran)]
        reads = 4 * SIZE * 2 * 2 * 32 * 4
        assert took == [
            ("near_put", blocks.nbytes),
            ("near_attention", reads),
            ("near_attention", -(-16 * 64 * 2 * 2 * 4 * 32 // 10)),
            ("near_fetch", reads),
        ]
        assert took[2][1] > reads, "here the engine is what takes long"

    bench.run(job)


def test_a_put_finds_room_for_all_or_is_refused(form: KvForm) -> None:
    blocks = filled(form, 4).read_blocks(np.arange(4))
    bench, server = stand(form, num_blocks=3)

    async def job(bench: Bench) -> None:
        assert not (await call(bench, put(blocks, [0, 1, 2, 3]))).kept
        assert server.room.num_held == 0
        assert (await call(bench, put(blocks, [0, 1]))).kept
        await call(bench, NearDrop(ONE))
        assert server.room.num_held == 0

    bench.run(job)


def test_what_changed_on_its_way_is_not_kept(form: KvForm) -> None:
    blocks = filled(form, 2).read_blocks(np.arange(2))
    said = put(blocks, [0, 1])
    said.blocks[1, 5] ^= 1
    bench, server = stand(form)

    async def job(bench: Bench) -> None:
        with pytest.raises(CorruptMessage, match="KV block 1 of r changed on its way"):
            await call(bench, said)
        assert server.room.num_held == 0

    bench.run(job)


@pytest.mark.parametrize(
    "facts",
    [{"sequence": 8}, {"index": np.array([1, 0])}, {"index": np.array([0, 2])}],
    ids=["another sequence's", "at each other's place", "at another place"],
)
def test_blocks_of_others_are_not_kept(form: KvForm, facts: dict[str, Any]) -> None:
    """Sound ones, under their own checksums."""
    said = replace(put(filled(form, 2).read_blocks(np.arange(2)), [0, 1]), **facts)
    bench, server = stand(form)

    async def job(bench: Bench) -> None:
        with pytest.raises(CorruptMessage, match="another's"):
            await call(bench, said)
        assert server.room.num_held == 0

    bench.run(job)


def test_blocks_of_an_incarnation_that_is_no_more_are_not_kept(form: KvForm) -> None:
    """Its number is another sequence's by now."""
    said = put(filled(form, 2).read_blocks(np.arange(2)), [0, 1])
    bench, server = stand(form)

    async def job(bench: Bench) -> None:
        await bench.restart("chip")
        with pytest.raises(CorruptMessage, match="another's"):
            await call(bench, said)
        assert server.room.num_held == 0

    bench.run(job)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NearAttend(9, ONE, FOUR, np.array([1]), np.zeros((1, 4, 32), np.float32)), "layer is 9"),
        (NearAttend(1, ONE, FOUR, np.array([2]), np.zeros((1, 4, 32), np.float32)), r"\(2, 4, 32"),
        (NearFetch(-1, ONE, FOUR), "it must be 0 to 2"),
        (NearPut(7, np.array([0]), np.zeros(1, np.uint64), np.zeros((1, 3), np.uint8)), "uint8"),
    ],
)
def test_what_is_not_of_this_model_is_refused(
    form: KvForm, content: Kind[Any], message: str
) -> None:
    bench, _ = stand(form)

    async def job(bench: Bench) -> None:
        with pytest.raises(InvalidRequest, match=message):
            await call(bench, content)

    bench.run(job)

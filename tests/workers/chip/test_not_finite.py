"""NaN and infinity end the request whose numbers they are, and no other.

One token's embedding is spoilt; which prompts hold it is known, so who must fail is known before
the cluster runs. All others must equal the single-process reference.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import (
    Heard,
    ask,
    ask_all,
    blueprint,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from workers.chip.chip import Chip
from workers.kv.identity import block_checksum
from workers.memory.memory_server import MemoryServer
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

NUM_TOKENS = 8
BAD_TOKEN = 500  # above all that `prompt` draws
# One chip that prefills and decodes, so that eight requests share its steps.
IN_PLACE: dict[str, object] = {
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "cluster.nodes.chip": {"workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us"},
    "placement.kv_pool": False,
    "model.max_num_batched_tokens": 1024,
}


@cache
def expected(ids: tuple[int, ...]) -> list[int]:
    params = SamplingParams(max_tokens=NUM_TOKENS, ignore_eos=True)
    return list(reference().generate(ids, params).token_ids)


@cache
def reference() -> Reference:
    return Reference(blueprint(IN_PLACE).folder)


def spoil(world: VirtualWorld, value: float) -> None:
    """The embedding of BAD_TOKEN on every chip."""
    for chip in workers_of(world, Chip).values():
        table: Any = chip._model
        table._embedding._table_VH = table._embedding._table_VH.copy()
        table._embedding._table_VH[BAD_TOKEN, 3] = value


def poison_blocks(world: VirtualWorld, *, free_alone: bool = True) -> None:
    """What sequences left behind becomes NaN; of findable blocks too, unless `free_alone`."""
    for chip in workers_of(world, Chip).values():
        blocks = chip._scheduler.blocks
        every = range(blocks.num_blocks)
        ids = tuple(b for b in every if not free_alone or blocks.hash_of(b) is None)
        held = chip._model.read_blocks(ids)
        held[:] = 255 if held.dtype == np.uint8 else np.nan
        chip._model.write_blocks(ids, held)


def spoilt(ids: tuple[int, ...], at: int) -> tuple[int, ...]:
    return (*ids[:at], BAD_TOKEN, *ids[at + 1 :])


def check(heard: list[Heard], prompts: list[tuple[int, ...]]) -> None:
    for one, ids in zip(heard, prompts, strict=True):
        if BAD_TOKEN in ids:
            assert one.code == "not_finite" and one.tokens == []
            assert "NaN or infinity" in str(one.error or one.last.error)
        else:
            assert one.code == "" and one.tokens == expected(ids)


@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_of_eight_fails_and_seven_are_exact(value: float, micro_batches: int) -> None:
    """Then all blocks that are nobody's hold NaN, and eight good requests come: all exact."""
    prompts = [prompt(i, 24) for i in range(8)]
    prompts[3] = spoilt(prompts[3], 10)

    async def job(world: VirtualWorld) -> None:
        spoil(world, value)
        asked = [request(f"r{i}", prompt_ids=ids) for i, ids in enumerate(prompts)]
        check(await ask_all(world, asked), prompts)
        await settle(world)
        poison_blocks(world)
        later = [prompt(20 + i, 30) for i in range(8)]
        asked = [request(f"s{i}", prompt_ids=ids) for i, ids in enumerate(later)]
        check(await ask_all(world, asked), later)
        await settle(world)

    run(blueprint({**IN_PLACE, "model.micro_batches": micro_batches}), job)


def test_blocks_of_a_request_that_failed_are_found_by_nobody() -> None:
    """The spoilt token stands last of 40; the first 32 are two full blocks, which a good request
    shares word for word. It must compute them itself.
    """
    good = prompt(1, 40)

    async def job(world: VirtualWorld) -> None:
        spoil(world, np.nan)
        bad = spoilt(good, 39)
        check([await ask(world, request("bad", prompt_ids=bad))], [bad])
        (chip,) = workers_of(world, Chip).values()
        assert chip._scheduler.blocks.lookup(good) == 0
        check([await ask(world, request("good", prompt_ids=good))], [good])
        await settle(world)

    run(blueprint(IN_PLACE), job)


def test_a_cached_prefix_that_went_bad_fails_once() -> None:
    """Memory that turns to NaN under a findable block: who reads it fails; the next one computes
    those tokens anew.
    """
    ids = prompt(2, 40)

    async def job(world: VirtualWorld) -> None:
        check([await ask(world, request("first", prompt_ids=ids))], [ids])
        await settle(world)
        poison_blocks(world, free_alone=False)
        assert (await ask(world, request("second", prompt_ids=ids))).code == "not_finite"
        check([await ask(world, request("third", prompt_ids=ids))], [ids])
        await settle(world)

    run(blueprint(IN_PLACE), job)


@pytest.mark.parametrize("offloads", [False, True])
def test_a_prefix_that_went_bad_in_the_pool_fails_once(offloads: bool) -> None:
    """The pool's blocks turn to NaN, checksums and all, as if they had come so. Who is given them
    fails; the next one is not.
    """
    ids = prompt(2, 40)
    changes: dict[str, object] = {**IN_PLACE, "placement.kv_pool": True}
    if offloads:
        changes["placement.kv_offload"] = {"tier": "memory"}

    async def job(world: VirtualWorld) -> None:
        check([await ask(world, request("first", prompt_ids=ids))], [ids])
        await settle(world)
        (chip,) = workers_of(world, Chip).values()
        chip._scheduler.blocks.invalidate(range(chip._scheduler.blocks.num_blocks))
        pools = [server.pool for server in workers_of(world, MemoryServer).values()]
        for pool in pools:
            for key in pool._store:
                block = pool._store[key]
                block.array = np.full_like(block.array, 255)
                block.checksum = block_checksum(block.array, key)
        assert sum(pool.num_blocks for pool in pools) == 2
        assert (await ask(world, request("second", prompt_ids=ids))).code == "not_finite"
        check([await ask(world, request("third", prompt_ids=ids))], [ids])
        await settle(world)
        await world.clock.wait_until(world.clock.now() + 2 * world.blueprint.timeout_ns)
        check([await ask(world, request("fourth", prompt_ids=ids))], [ids])
        await settle(world)

    run(blueprint(changes), job)


def test_over_several_chips_and_chunks_and_the_pool_the_others_stay_exact() -> None:
    """Prefill and decode apart, prompts in chunks of 64, the pool on: the demo's own cluster."""
    prompts = [prompt(i, 100) for i in range(8)]
    prompts[0], prompts[5] = spoilt(prompts[0], 99), spoilt(prompts[5], 3)

    async def job(world: VirtualWorld) -> None:
        spoil(world, np.nan)
        for turn in range(2):
            asked = [request(f"{turn}-{i}", prompt_ids=ids) for i, ids in enumerate(prompts)]
            check(await ask_all(world, asked), prompts)
            await settle(world)
            poison_blocks(world)

    run(blueprint({"model.max_num_batched_tokens": 64, "model.max_num_seqs": 64}), job)


def test_a_head_that_is_not_finite_ends_requests_and_not_the_chip() -> None:
    """Logits of NaN where hidden states are fine: all four fail, each with the same clear word, and
    the next request is answered.
    """

    async def job(world: VirtualWorld) -> None:
        (chip,) = workers_of(world, Chip).values()
        model: Any = chip._model
        whole = type(model).logits

        def broken(x: Any, rows_R: Any) -> Any:
            logits = whole(model, x, rows_R)
            logits[:, 17] = np.inf
            return logits

        model.logits = broken
        prompts = [prompt(i, 20) for i in range(4)]
        asked = [request(f"r{i}", prompt_ids=ids) for i, ids in enumerate(prompts)]
        for one in await ask_all(world, asked):
            assert one.code == "not_finite" and "logits after token 19" in str(
                one.error or one.last.error
            )
        del model.logits
        check([await ask(world, request("after", prompt_ids=prompts[0]))], prompts[:1])
        await settle(world)

    run(blueprint(IN_PLACE), job)

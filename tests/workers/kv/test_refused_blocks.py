"""KV that is damaged, another's, missing or told of too early is computed, and the text is right:
in both numerics.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds import test_states as states
from tests.cluster.worlds import test_windows as windows
from tests.cluster.worlds.chips_of_ranks import (
    SIZES,
    degrees,
    tokens,
)
from tests.cluster.worlds.cluster import (
    ask_all,
    blueprint,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from tests.workers.kv.handing import (
    ALL,
    APART,
    Say,
    changed,
    check_computed,
    figures,
    in_both,
    reference,
    told,
    told_directly,
)
from workers.chip.chip import Chip
from workers.errors import InvalidRequest
from workers.kv.identity import Owner, tokens_number
from workers.kv.pool import BlockPool
from workers.model.sampling_params import SamplingParams
from workers.parallel.rank import Rank
from workers.wire.kinds.chip import Abort, Reserve
from workers.wire.kinds.kv import KvBlocks, Start
from workers.wire.message import Message


@in_both
def test_nothing_is_computed_twice_where_nothing_goes_wrong(numerics: str) -> None:
    heard, counts, notes = told({**APART, "model.numerics": numerics})
    assert tokens(heard) == reference(numerics)
    assert not counts and not notes


@in_both
def test_start_before_all_is_there(numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each second message with KV is answered, and its blocks are not written."""
    changed(monkeypatch, lambda number, content: content if number % 2 else None)
    assert "kv_refused" not in check_computed(numerics)


@in_both
def test_a_damaged_block_is_computed(numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(_: int, content: KvBlocks) -> KvBlocks:
        blocks = np.array(content.blocks)
        blocks.reshape(-1).view(np.uint8)[-1] ^= 1
        return replace(content, blocks=blocks)

    changed(monkeypatch, flipped)
    assert check_computed(numerics) == {"kv_refused": len(SIZES), "kv_recomputed": ALL}


@in_both
def test_another_request_s_blocks_are_not_attended_to(
    numerics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody is given the first one's, sound and sealed."""
    first: list[KvBlocks] = []

    def foreign(_: int, content: KvBlocks) -> KvBlocks:
        first.append(content)
        return first[0]

    changed(monkeypatch, foreign)
    assert check_computed(numerics)["kv_refused"] == len(SIZES) - 1


@in_both
@pytest.mark.parametrize("ends", ["both", "decode"])
def test_what_is_damaged_on_its_way_to_a_rank_is_computed(
    numerics: str, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, seen = Rank._kv_part, [0]

    async def part(self: Rank, message: Message[Any]) -> None:
        seen[0] += 1
        content = message.content
        if seen[0] % 3 == 1:
            content = replace(content, head=content.head + 1)
        await right(self, replace(message, content=content))

    monkeypatch.setattr(Rank, "_kv_part", part)
    split = degrees(decode=(2, 2), **({"prefill": (2, 1)} if ends == "both" else {}))
    check_computed(numerics, {**APART, **split})


@in_both
def test_a_block_that_the_pool_gives_twice_is_not_used(
    numerics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first block in the place of all that were asked for, under its checksum."""
    get, sums = BlockPool.get, BlockPool.checksums
    monkeypatch.setattr(BlockPool, "get", lambda self, keys: get(self, keys[:1]) * len(keys))
    monkeypatch.setattr(BlockPool, "checksums", lambda self, keys: sums(self, keys[:1]) * len(keys))
    wanted = [request(f"r{i}", prompt_ids=prompt(2, 70), max_tokens=12) for i in range(3)]
    few = {"cluster.nodes.decode.count": 1, "model.num_kv_blocks": 7, "model.max_model_len": 112}

    async def job(world: VirtualWorld) -> None:
        for each in wanted:
            for chip in workers_of(world, Chip).values():
                chip._scheduler.blocks.invalidate(range(chip._scheduler.blocks.num_ids))
            (heard,) = await ask_all(world, [each])
            assert heard.tokens == reference(numerics)[2]
            await settle(world)
        failures = [c._pool.num_failures for c in workers_of(world, Chip).values() if c._pool]
        assert sum(failures) == len(wanted) - 1

    run(blueprint({**few, "placement.kv_pool": True, "model.numerics": numerics}), job)


def test_a_second_start_is_refused() -> None:
    async def job(world: VirtualWorld, say: Say) -> None:
        params = SamplingParams(max_tokens=50, ignore_eos=True)
        assert (await say("x", Reserve(prompt(0, 40), params, 10**12))).room
        (router,) = workers_of(world, Router).values()
        owner = Owner("x", router.port.endpoint.epoch, tokens_number(prompt(0, 40)))
        start = Start(1, world.clock.now(), whose=owner.number)
        await say("x", start)
        with pytest.raises(InvalidRequest):
            await say("x", start)
        await say("x", Abort())

    told_directly("real", job)


MODELS = {"windows": windows.plan_of, "states": lambda folder, _: states.plan_of(folder, {})}


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("model", MODELS)
def test_what_cannot_be_computed_from_the_middle_is_computed_from_its_beginning(
    model: str, lost: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks 0 to 2 (of a state: to 3) of a prompt come thin, the others whole: one of the two
    messages is lost.
    """
    changed(monkeypatch, lambda number, content: None if number % 2 == lost else content)
    plan = MODELS[model](tmp_path, "digest")

    async def job(world: VirtualWorld) -> None:
        for number, right in enumerate(windows.answers_of(plan)):
            one = request(f"r{number}", prompt_ids=prompt(number, 70), max_tokens=30)
            (heard,) = await ask_all(world, [one])
            assert heard.code == "" and heard.tokens == right
            await settle(world)
        assert (await figures(world))["kv_recomputed"] > 0

    run(plan, job)

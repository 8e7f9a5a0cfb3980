"""The five cases of vllm #52234, in which an engine answered 200 after a KV transfer went wrong,
and their neighbours: what came wrong is computed, or its request ends with an error. Tokens are
those of a reference that has no cluster, in both numerics.
"""

from dataclasses import replace

import numpy as np
import pytest

from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_ranks import (
    SIZES,
    answers,
)
from tests.cluster.worlds.cluster import (
    blueprint,
    prompt,
    run,
    settle,
    workers_of,
)
from tests.workers.kv.handing import (
    APART,
    Change,
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
from workers.errors import CorruptMessage, NotFound
from workers.host.trace import Noted, Sampled
from workers.kv.checksums import NO_SUMS, sealed
from workers.kv.identity import Owner, tokens_number
from workers.model.sampling_params import SamplingParams
from workers.wire.kinds.chip import Abort, Reserve
from workers.wire.kinds.kv import KvBlocks, Start


@in_both
def test_unknown_request(numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decode chip has forgotten whom the KV is for: its request begins anew, and nothing that
    was sent is attended to.
    """

    # Patched before the world stands: handlers are bound when it does.
    patched: list[Change] = []
    changed(monkeypatch, lambda number, content: patched[0](number, content))

    async def job(world: VirtualWorld) -> None:
        chip = workers_of(world, Chip)["decode-0"]

        def forget(number: int, content: KvBlocks) -> KvBlocks:
            if number == 0:
                assert chip._forget(next(iter(chip._jobs)))
            return content

        patched.append(forget)
        heard = await answers(world)
        assert {one.code for one in heard} == {""}
        assert [one.tokens for one in heard] == reference(numerics)
        begun = [r for r in world.trace.records if isinstance(r, Noted) and r.what == "begun anew"]
        assert len(begun) == 1
        await settle(world)

    run(blueprint({**APART, "model.numerics": numerics}), job)


@in_both
def test_block_ids_out_of_range(numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def beyond(number: int, content: KvBlocks) -> KvBlocks:
        return replace(content, index=content.index + 1000) if number == 1 else content

    changed(monkeypatch, beyond)
    assert check_computed(numerics)["kv_refused"] == 1


@in_both
def test_a_reference_used_twice(numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block in the place of the second, under its own index and checksum."""

    def twice(number: int, content: KvBlocks) -> KvBlocks:
        if len(content.index) < 2:
            return content
        index, checksum, blocks = (
            np.array(each) for each in (content.index, content.checksum, content.blocks)
        )
        index[1], checksum[1], blocks[1] = index[0], checksum[0], blocks[0]
        return replace(content, index=index, checksum=checksum, blocks=blocks)

    changed(monkeypatch, twice)
    assert check_computed(numerics)["kv_refused"] > 0


@in_both
def test_a_stale_reference_after_its_blocks_were_reused(numerics: str) -> None:
    """KV of one prompt, sound, comes for another one that has its blocks by now, and its name."""
    old, new = (prompt(number, length) for number, length, _ in SIZES[:3:2])
    right = reference(numerics)[2]

    async def job(world: VirtualWorld, say: Say) -> None:
        chip = workers_of(world, Chip)["decode-0"]
        (router,) = workers_of(world, Router).values()
        assert (await say("x", Reserve(old, SamplingParams(max_tokens=4), 10**12))).room
        ids = tuple(chip._scheduler.get("x").block_ids)  # type: ignore[union-attr]
        await say("x", Abort())
        params = SamplingParams(max_tokens=SIZES[2][2], ignore_eos=True)
        assert (await say("x", Reserve(new, params, 10**12))).room
        assert set(ids) & set(chip._scheduler.get("x").block_ids)  # type: ignore[union-attr]
        owner = Owner("x", router.port.endpoint.epoch, tokens_number(old))
        index = np.arange(2, dtype=np.int64)
        stale = KvBlocks(index, NO_SUMS, np.ones_like(chip._model.read_blocks(ids[:2])))
        with pytest.raises(CorruptMessage, match="damaged, or another's"):
            await say("x", sealed(stale, owner))
        start = Start(right[0], world.clock.now())
        with pytest.raises(CorruptMessage, match="another by its name"):
            await say("x", replace(start, whose=owner.number))
        owner = replace(owner, tokens=tokens_number(new))
        await say("x", replace(start, whose=owner.number))
        while chip._jobs:
            await world.clock.wait_until(world.clock.now() + 100_000)
        found = [r for r in world.trace.records if isinstance(r, Sampled)]
        assert [r.token_id for r in found] == right[1:]
        assert await figures(world) == {"kv_refused": 2, "kv_recomputed": len(new)}

    few = {"model.num_kv_blocks": 6, "model.max_model_len": 96}
    told_directly(numerics, job, {**APART, **few})


@in_both
def test_an_expired_lease(numerics: str) -> None:
    """Blocks are reserved until a deadline: what comes after it meets nobody, and a request whose
    KV comes too late ends with it.
    """

    async def job(world: VirtualWorld, say: Say) -> None:
        chip = workers_of(world, Chip)["decode-0"]
        until_ns = world.clock.now() + 1_000_000
        assert (await say("x", Reserve(prompt(0, 40), SamplingParams(), until_ns))).room
        await world.clock.wait_until(until_ns + 100_000)
        assert not any(chip.held().values())
        blocks = chip._model.read_blocks((0,))
        for late in (KvBlocks(np.zeros(1, np.int64), NO_SUMS, blocks), Start(1, 0)):
            with pytest.raises(NotFound):
                await say("x", late)

    told_directly(numerics, job)
    late = {"type": "latency", "kind": "kv_blocks", "attributes": {"latency": "30 ms"}}
    heard, _, _ = told(
        {**APART, "model.numerics": numerics, "slo.deadline": "20 ms", "faults": [late]}
    )
    assert {one.code for one in heard} == {"deadline_exceeded"}
    assert all(len(one.tokens) <= 1 for one in heard)

"""A chip whose blocks are pinned for the pool wakes up when they are free again."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask, blueprint, prompt, request, run, settle, workers_of
from workers.chip.chip import Chip
from workers.host.trace import Delivered

# 8 blocks of 16 tokens; whatever is read takes 50 us longer than on an H100.
SLOW = {"base": "h100-sxm", "tiers": {"hbm": {"read_latency": "50 us"}}}
TIGHT: Mapping[str, object] = {
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "cluster.nodes.chip": {"workers": ["chip"], "device": SLOW, "link": "lowlat-2us"},
    "model.num_kv_blocks": 8,
    "model.max_model_len": 128,
}


def test_a_prompt_that_waits_for_blocks_that_the_pool_reads_goes_on() -> None:
    """`one` ends with its first token, and its 7 blocks are read for the pool for more than 50 us.
    `two` comes 4 us later and finds 1 free.
    """

    async def job(world: VirtualWorld) -> None:
        one = request("one", prompt_ids=prompt(1, 112), max_tokens=1)
        two = request("two", prompt_ids=prompt(2, 112), max_tokens=1)
        reading = world.gateway.spawn(ask(world, one), "one")
        heard = await ask(world, two)
        assert (await reading).code == heard.code == ""
        assert heard.ended_ns < 2_000_000, "not at its deadline of 1 s"
        await settle(world)

    run(blueprint(TIGHT), job)


def test_a_prompt_that_waits_for_blocks_of_a_fetch_that_was_given_up_goes_on() -> None:
    """The pool's answer to `gone` comes 500 us late, and 6 of 8 blocks wait for it. Meanwhile its
    reader goes, and `other`, which needs 4, takes its place.
    """
    late = {"type": "latency", "kind": "pool_blocks", "attributes": {"latency": "500 us"}}

    async def job(world: VirtualWorld) -> None:
        await ask(world, request("first", prompt_ids=prompt(1, 112), max_tokens=1))
        await settle(world)
        (chip,) = workers_of(world, Chip).values()
        chip._scheduler.blocks.invalidate(range(8))
        begun_ns = world.clock.now()
        gone = request("gone", prompt_ids=prompt(1, 112), max_tokens=8)
        reading = world.gateway.spawn(ask(world, gone), "gone")
        await world.clock.wait_until(begun_ns + 100_000)
        assert chip._scheduler.blocks.num_pinned == 6
        reading.cancel()
        heard = await ask(world, request("other", prompt_ids=prompt(2, 60), max_tokens=1))
        assert heard.code == ""
        answers = [r for r in world.trace.records if isinstance(r, Delivered)]
        assert [r.request_id for r in answers if r.kind == "pool_blocks"][-1] == "gone"
        assert 500_000 < heard.ended_ns - begun_ns < 2_000_000, "not at its deadline of 1 s"
        await settle(world)

    run(blueprint({**TIGHT, "faults": [late]}), job)


@pytest.mark.parametrize("numerics", ["real", "digest"])
@pytest.mark.parametrize("kind", ["pool_get", "pool_blocks"])
def test_what_a_fetch_did_not_bring_is_computed(kind: str, numerics: str) -> None:
    """A pool that is silent from some time on: nobody finds blocks that were not written."""
    answers = []
    for silent in ([], [{"type": "drop", "kind": kind, "start": "3 ms"}]):

        async def job(world: VirtualWorld) -> list[int]:
            one = request("one", prompt_ids=prompt(1, 60), max_tokens=8)
            await ask(world, one)
            await world.clock.wait_until(4_000_000)
            (chip,) = workers_of(world, Chip).values()
            chip._scheduler.blocks.invalidate(range(8))
            await ask(world, replace(one, request_id="two"))
            heard = await ask(world, replace(one, request_id="three"))
            assert heard.code == ""
            await settle(world)
            return heard.tokens

        answers.append(run(blueprint({**TIGHT, "model.numerics": numerics, "faults": silent}), job))
    assert answers[0] == answers[1]

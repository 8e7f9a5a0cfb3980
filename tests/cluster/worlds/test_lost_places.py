"""Chips of other kinds that die under load: with ranks, digests, windows, a pool."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.worlds.chips_of_ranks import answers, degrees, expected, of_digests, tokens
from tests.cluster.worlds.cluster import Heard, ask_all, blueprint, prompt, request, run, settle
from tests.cluster.worlds.test_windows import COUNT, LENGTH, SEQUENCES, answers_of, plan_of
from workers.host.trace import Noted

TWO = {"cluster.nodes.prefill.count": 2, "cluster.nodes.decode.count": 2}
RANKS = {**degrees(prefill=(2, 1), decode=(2, 2)), **TWO}
DIGEST = {"model.numerics": "digest", **TWO}
LIGHT = {"workers": ["chip"], "count": 2, "device": "h100-sxm", "link": "lowlat-2us"}
BOTH = {"cluster.nodes.prefill": None, "cluster.nodes.decode": None, "cluster.nodes.both": LIGHT}


def begun_anew(world: VirtualWorld) -> int:
    return sum(isinstance(r, Noted) and r.what == "begun anew" for r in world.trace.records)


async def with_a_death(world: VirtualWorld, victim: str, at_ns: int) -> list[Heard]:
    asked = world.gateway.spawn(answers(world), "ask")
    await world.clock.wait_until(world.clock.now() + at_ns)
    await world.kill(victim)
    heard = await asked
    assert [one.code for one in heard] == [""] * len(heard)
    assert begun_anew(world) > 0, "somebody was there"
    await settle(world, dead=(victim,))
    return heard


@pytest.mark.parametrize("victim", ["decode-0", "decode-0-rank-1", "decode-0-rank-3"])
@pytest.mark.parametrize("at_ns", [170_000, 300_000])
def test_with_a_rank_its_chip_is_lost_and_its_streams_go_on(victim: str, at_ns: int) -> None:
    found = run(blueprint(RANKS), lambda world: with_a_death(world, victim, at_ns))
    assert tokens(found) == expected()


@pytest.mark.parametrize("changes", [{"placement.kv_pool": False}, {}], ids=["no pool", "pool"])
@pytest.mark.parametrize("at_ns", [60_000, 120_000, 200_000])
def test_digests_of_a_stream_that_went_on_are_the_reference_s(
    changes: Mapping[str, object], at_ns: int
) -> None:
    """A block that was lost, stale or of another attempt would show in the text."""
    plan = blueprint({**DIGEST, **changes})
    found = run(plan, lambda world: with_a_death(world, "decode-0", at_ns))
    assert tokens(found) == of_digests()


def test_one_chip_for_both_with_a_pool() -> None:
    plan = blueprint({"model.numerics": "digest", **BOTH})
    found = run(plan, lambda world: with_a_death(world, "both-0", 150_000))
    assert tokens(found) == of_digests()


def with_two_chips(folder: Path) -> Blueprint:
    first = plan_of(folder, "digest").scenario.model.path
    return blueprint(
        {
            "model.path": first,
            "model.served_name": "perfuse-tiny",
            "model.numerics": "digest",
            "model.dtype": "bf16",
            "model.max_model_len": 128,
            "placement.kv_pool": False,
            **TWO,
        }
    )


@pytest.mark.parametrize("after", [3, 9, 11, 20, 27])
def test_behind_windows_nothing_is_missing_where_a_stream_goes_on(
    tmp_path: Path, after: int
) -> None:
    """70 tokens and so many of the answer are prefilled again: windows of 16 tokens end in the
    middle of a block, before and after one.
    """
    plan = with_two_chips(tmp_path)

    async def job(world: VirtualWorld) -> list[Heard]:
        wanted = [
            request(f"r{i}", prompt_ids=prompt(i, LENGTH), max_tokens=COUNT)
            for i in range(SEQUENCES)
        ]
        asked = world.gateway.spawn(ask_all(world, wanted), "ask")
        state = router_of(world).state
        while all(len(one.stream.tokens) < after for one in state.requests.values()):
            await world.clock.wait_until(world.clock.now() + 500)
        await world.kill("decode-0")
        heard = await asked
        assert begun_anew(world) > 0
        await settle(world, dead=("decode-0",))
        return heard

    found = run(plan, job)
    assert [one.code for one in found] == [""] * SEQUENCES
    assert tokens(found) == answers_of(plan)

"""Chips of several ranks in whole clusters: the tokens of one process whatever the degrees, and a
rank that dies takes its chip's requests along, and nothing else.
"""

from pathlib import Path

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_ranks import (
    CHIP,
    NO_OTHERS,
    answers,
    check_cut_short,
    degrees,
    expected,
    of_digests,
    served,
    tokens,
)
from tests.cluster.worlds.cluster import MODEL, ask_all, blueprint, prompt, request, run, settle
from tests.workers.model.models import DEEPSEEK_V3, write_model
from workers.host.trace import Delivered
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams


@pytest.mark.parametrize(
    "groups",
    [
        {"decode": (2, 1)},
        {"decode": (4, 1)},
        {"decode": (1, 2)},
        {"decode": (1, 4)},
        {"prefill": (2, 1)},
        {"prefill": (1, 2), "decode": (2, 1)},
        {"prefill": (4, 1), "decode": (1, 4)},
        {"prefill": (2, 2), "decode": (2, 2)},
        {"prefill": (2, 1), "decode": (4, 1)},
        {"prefill": (4, 1), "decode": (8, 1)},
        {"prefill": (8, 1), "decode": (8, 2)},
    ],
    ids=str,
)
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_every_degree_gives_the_tokens_of_one_process(
    groups: dict[str, tuple[int, int]], micro_batches: int
) -> None:
    changes = {**degrees(**groups), "model.micro_batches": micro_batches}
    found, kinds, _ = served(changes)
    assert found == expected()
    assert kinds["step"] and kinds["kv_part"]
    assert ("share" in kinds) == any(tensor > 1 for tensor, _ in groups.values())
    assert ("piece" in kinds) == ("share" in kinds)
    assert ("stage_rows" in kinds) == any(pipeline > 1 for _, pipeline in groups.values())


def test_a_latent_is_held_by_every_rank(tmp_path: Path) -> None:
    """DeepSeek's layers: a dense one, then two with a shared expert, each cut over the ranks."""
    folder = write_model(tmp_path, sizes=DEEPSEEK_V3 | {"vocab_size": 512})
    reference, params = Reference(folder), SamplingParams(max_tokens=6, ignore_eos=True)
    right = [list(reference.generate(prompt(i, 20), params).token_ids) for i in range(3)]

    async def job(world: VirtualWorld) -> None:
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 20), max_tokens=6) for i in range(3)]
        assert tokens(await ask_all(world, wanted)) == right
        await settle(world)

    model = {"model.path": str(folder), "model.served_name": MODEL, "model.max_model_len": 128}
    run(blueprint({**degrees(prefill=(2, 1), decode=(4, 2)), **model}), job)


@pytest.mark.parametrize(
    ("groups", "layers"),
    [
        ({"prefill": (1, 2), "decode": (1, 3)}, {"prefill": [3, 1]}),
        ({"prefill": (2, 3), "decode": (1, 2)}, {"decode": [1, 3]}),
        ({"prefill": (1, 3), "decode": (4, 1)}, {}),
    ],
    ids=str,
)
def test_stages_may_be_uneven(
    groups: dict[str, tuple[int, int]], layers: dict[str, list[int]]
) -> None:
    """Also where KV goes from one split of the layers to another."""
    given = {f"cluster.nodes.{group}.pipeline_layers": each for group, each in layers.items()}
    for numerics in ("real", "digest"):
        changes = {**degrees(**groups), **given, "model.numerics": numerics}
        found, kinds, _ = served(changes)
        assert found == (expected() if numerics == "real" else of_digests())
        assert kinds["stage_rows"] and kinds["kv_part"]


@pytest.mark.parametrize(("tensor", "pipeline"), [(2, 1), (1, 2), (2, 2)])
def test_a_chip_that_does_both_may_have_ranks(tensor: int, pipeline: int) -> None:
    chip = {**CHIP, "tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
    changes = {"placement.kv_pool": False, **NO_OTHERS, "cluster.nodes.chip": {**chip, "count": 2}}
    assert served(changes)[0] == expected()


@pytest.mark.parametrize(
    "algorithm", ["direct", "two_shot", "ring", "tree", "recursive_doubling", "halving_doubling"]
)
def test_every_way_to_sum_gives_the_same_tokens(algorithm: str) -> None:
    changes = {
        **degrees(prefill=(2, 1), decode=(4, 1)),
        "placement.collectives.all_reduce": algorithm,
        "model.micro_batches": 2,
    }
    assert served(changes)[0] == expected()


def test_frames_carry_all_that_ranks_say() -> None:
    assert served(degrees(prefill=(2, 1), decode=(2, 2)), through_frames=True)[0] == expected()


def test_blocks_that_run_out_are_taken_from_the_newest_on_all_ranks() -> None:
    """Preempted sequences are computed again, into blocks that others had on every rank."""
    changes = {
        **degrees(decode=(2, 2)),
        "model.num_kv_blocks": 12,
        "placement.reserve": "watermark",
        "cluster.nodes.decode.count": 1,
        "model.max_model_len": 128,
    }

    async def job(world: VirtualWorld) -> None:
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 30), max_tokens=40) for i in range(4)]
        heard = await ask_all(world, wanted)
        await settle(world)
        assert [one.code for one in heard] == [""] * 4
        noted = [r for r in world.trace.records if getattr(r, "what", "") == "preempted"]
        assert noted, "the blocks were to run out"
        reference = Reference(world.blueprint.folder)
        for i, one in enumerate(heard):
            params = SamplingParams(max_tokens=40, ignore_eos=True)
            assert one.tokens == list(reference.generate(prompt(i, 30), params).token_ids)

    run(blueprint(changes), job)


VICTIMS = ("decode-0", "decode-0-rank-1", "decode-0-rank-3", "prefill-0-rank-1", "prefill-0")


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("at_ns", [30_000, 170_000, 400_000])
def test_a_rank_that_dies_fails_its_chip_and_returns(victim: str, at_ns: int) -> None:
    changes = {**degrees(prefill=(2, 1), decode=(2, 2)), "cluster.nodes.decode.count": 1}

    async def job(world: VirtualWorld) -> None:
        for epoch in (2, 3):
            asked = world.gateway.spawn(answers(world, f"{epoch}-"), "ask")
            await world.clock.wait_until(world.clock.now() + at_ns)
            killed_ns = world.clock.now()
            await world.kill(victim)
            check_cut_short(await asked, expected(), killed_ns + world.blueprint.timeout_ns)
            refused = await answers(world, f"{epoch}-dead-")
            assert {one.code for one in refused} == {"peer_dead"}
            await world.revive(victim)
            await settle(world)
            after = await answers(world, f"{epoch}-after-")
            assert [one.code for one in after] == [""] * len(after)
            assert tokens(after) == expected()
            await settle(world)

    run(blueprint(changes), job)


@pytest.mark.parametrize("victim", ["decode-0-rank-1", "decode-0-rank-0"])
def test_while_a_rank_is_away_another_chip_serves(victim: str) -> None:
    """Its chip is given nothing until the rank is back; then both are."""
    changes = {**degrees(decode=(2, 2)), "cluster.nodes.decode.count": 2}

    def served_by(world: VirtualWorld, name: str) -> set[str]:
        heard = (r for r in world.trace.records if isinstance(r, Delivered))
        return {r.destination for r in heard if r.kind == "reserve" and name in r.request_id}

    async def job(world: VirtualWorld) -> None:
        await world.kill(victim)
        for name, chips in (("away-", {"decode-1"}), ("back-", {"decode-0", "decode-1"})):
            heard = await answers(world, name)
            assert [one.code for one in heard] == [""] * len(heard)
            assert tokens(heard) == expected()
            assert served_by(world, name) == chips
            await settle(world)
            if name == "away-":
                await world.revive(victim)

    run(blueprint(changes), job)


@pytest.mark.parametrize("at_ns", [60_000, 250_000])
def test_a_dead_shard_is_missed_by_its_own_tokens_on_all_ranks(at_ns: int) -> None:
    """Ranks agree on who has failed; the others of a step go on."""
    changes = {**degrees(decode=(2, 2)), "cluster.nodes.experts.count": 8}

    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(answers(world), "ask")
        await world.clock.wait_until(world.clock.now() + at_ns)
        await world.kill("experts-5")
        heard = await asked
        assert "peer_dead" in {one.code for one in heard} <= {"", "peer_dead"}
        for one, right in zip(heard, expected(), strict=True):
            assert one.tokens == right[: len(one.tokens)]
        await world.revive("experts-5")
        await settle(world)
        assert tokens(await answers(world, "after-")) == expected()
        await settle(world)

    run(blueprint(changes), job)

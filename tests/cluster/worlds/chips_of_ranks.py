"""Clusters whose chips have several ranks, asked the same, and what one process answers."""

from collections.abc import Mapping, Sequence
from functools import cache

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import Heard, ask_all, blueprint, prompt, request, run, settle
from workers.host.trace import Delivered
from workers.model.digest.reference import reference_of
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

SIZES = [(0, 40, 9), (1, 3, 5), (2, 70, 12), (3, 17, 6), (4, 33, 7)]
CHIP = {"workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us"}
NO_OTHERS = {"cluster.nodes.prefill": None, "cluster.nodes.decode": None}


def degrees(**groups: tuple[int, int]) -> dict[str, object]:
    """Group -> (tensor, pipeline)."""
    changes: dict[str, object] = {"placement.kv_pool": False}
    for group, (tensor, pipeline) in groups.items():
        changes[f"cluster.nodes.{group}.tensor_parallel_size"] = tensor
        changes[f"cluster.nodes.{group}.pipeline_parallel_size"] = pipeline
    return changes


@cache
def expected() -> list[list[int]]:
    reference = Reference(blueprint().folder)
    return [
        list(
            reference.generate(
                prompt(number, length), SamplingParams(max_tokens=count, ignore_eos=True)
            ).token_ids
        )
        for number, length, count in SIZES
    ]


@cache
def of_digests() -> list[list[int]]:
    plan = blueprint({"model.numerics": "digest"})
    section = plan.scenario.model
    reference = reference_of(plan.model, section.block_size, plan.scenario.seed, section.routing)
    return [
        list(reference.answer(prompt(i, length), SamplingParams(max_tokens=count, ignore_eos=True)))
        for i, length, count in SIZES
    ]


async def answers(world: VirtualWorld, name: str = "r", apart_ns: int = 0) -> list[Heard]:
    wanted = [
        request(f"{name}{i}", prompt_ids=prompt(i, length), max_tokens=count)
        for i, length, count in SIZES
    ]
    return await ask_all(world, wanted, apart_ns=apart_ns)


def tokens(heard: Sequence[Heard]) -> list[list[int]]:
    return [one.tokens for one in heard]


def check_cut_short(
    heard: Sequence[Heard], expected_tokens: Sequence[list[int]], until_ns: int
) -> None:
    """Whoever lost a rank hears it in time, after right tokens alone; the others are whole."""
    for one, right in zip(heard, expected_tokens, strict=True):
        assert one.code in ("", "peer_dead")
        assert one.code or one.tokens == right
        assert one.tokens == right[: len(one.tokens)]
        assert one.ended_ns <= until_ns, "nothing hangs"


def served(
    changes: Mapping[str, object], *, through_frames: bool = False
) -> tuple[list[list[int]], dict[str, int], int]:
    """Tokens, how many messages of each kind were delivered, and how long it took."""

    async def job(world: VirtualWorld) -> tuple[list[list[int]], dict[str, int], int]:
        begun_ns = world.clock.now()
        heard = await answers(world)
        took_ns = world.clock.now() - begun_ns
        await settle(world)
        kinds: dict[str, int] = {}
        for record in world.trace.records:
            if isinstance(record, Delivered):
                kinds[record.kind] = kinds.get(record.kind, 0) + 1
        return tokens(heard), kinds, took_ns

    return run(blueprint(changes), job, through_frames=through_frames)

"""Two micro-batches in a cluster: the same tokens, sooner where experts are far away."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask_all, blueprint, prompt, request, run, settle
from workers.host.trace import Ran, Sampled
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

CHIP = {"workers": ["chip"], "device": "h100-sxm", "link": "ethernet-100g"}
# In order, so that the first micro-batch's rows are there while the second's are still on the way:
# links that share fairly bring both late, and leave little to overlap.
FAR: dict[str, object] = {
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "cluster.nodes.chip": CHIP,
    "cluster.nodes.experts.link": "ethernet-100g",
    "cluster.nodes.chip.link.sharing": "fifo",
    "cluster.nodes.experts.link.sharing": "fifo",
    "placement.kv_pool": False,
    "model.max_num_batched_tokens": 2048,
}
SIZES = [(i, 100 + 40 * i, 4) for i in range(6)]


def served(micro_batches: int) -> tuple[list[list[int]], int, str, list[int]]:
    """Tokens, emulated time, trace hash, and how many launches of "logits" each step had."""

    async def job(world: VirtualWorld) -> tuple[list[list[int]], int, str, list[int]]:
        begun_ns = world.clock.now()
        wanted = [request(f"r{i}", prompt_ids=prompt(i, n), max_tokens=m) for i, n, m in SIZES]
        heard = await ask_all(world, wanted)
        took_ns = world.clock.now() - begun_ns
        await settle(world)
        chosen = [r for r in world.trace.records if isinstance(r, Sampled)]
        sampled_at = sorted({r.at_ns for r in chosen})
        logits_at = [r.at_ns for r in world.trace.records if isinstance(r, Ran)]
        launches = [logits_at.count(at_ns) for at_ns in sampled_at]
        return [one.tokens for one in heard], took_ns, world.trace.digest(), launches

    return run(blueprint({**FAR, "model.micro_batches": micro_batches}), job)


@pytest.fixture(scope="module")
def two() -> tuple[list[list[int]], int, str, list[int]]:
    return served(2)


def test_the_same_tokens_sooner(two: tuple[list[list[int]], int, str, list[int]]) -> None:
    tokens, took_ns, _, launches = two
    reference = Reference(blueprint(FAR).folder)
    for (number, length, count), answer in zip(SIZES, tokens, strict=True):
        params = SamplingParams(max_tokens=count, ignore_eos=True)
        assert answer == list(reference.generate(prompt(number, length), params).token_ids)
    one_tokens, one_ns, _, _ = served(1)
    assert one_tokens == tokens
    assert took_ns < 0.9 * one_ns
    assert launches == [1] * len(launches), "sampling happens once a step"


def test_the_same_scenario_gives_the_same_trace(
    two: tuple[list[list[int]], int, str, list[int]],
) -> None:
    assert served(2)[2] == two[2]

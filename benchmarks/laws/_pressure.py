"""Clusters whose chips hold KV for a third of what is asked of them at once."""

from collections.abc import Mapping
from functools import cache

from benchmarks.fixed import run_there
from cluster.runs.run import Run
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

NUM_REQUESTS = 18
CONCURRENCY = 12
# A request has 10 to 60 tokens in and 20 to 60 out, 75 on average: 12 at once need about 12 x 5.2 =
# 62 blocks of 16 in the end. A third of that is 20.
THIRD_BLOCKS = 20
LENGTHS = {
    "input_length": {"uniform": {"low": 10, "high": 60}},
    "output_length": {"uniform": {"low": 20, "high": 60}},
}
LOAD: Mapping[str, object] = {
    "model.max_model_len": 128,
    "placement.collections": None,
    "workload.arrivals.closed.concurrency": CONCURRENCY,
    "workload.arrivals.closed.num_requests": NUM_REQUESTS,
    "workload.prompts": {"synthetic": LENGTHS},
    "workload.sampling.ignore_eos": True,
    "slo.deadline": "60 s",
}
CHIP = {"workers": ["chip", "experts"], "device": "h100-sxm", "link": "lowlat-2us"}
SHARED = {"synthetic": {**LENGTHS, "shared_prefix": {"length": 40, "groups": 2}}}
# name -> (scenario, chips that decode, what is changed in it)
TOPOLOGIES: Mapping[str, tuple[str, int, Mapping[str, object]]] = {
    "single": ("single", 1, {}),
    "two-chips": ("single", 2, {"cluster.nodes.chip": {**CHIP, "count": 2}}),
    "chunked": ("single", 1, {"model.max_num_batched_tokens": 24, "model.max_num_seqs": 8}),
    "apart": ("demo", 1, {"cluster.nodes.decode.count": 1}),
    "demo": ("demo", 2, {}),
    "no-caches": (
        "demo",
        1,
        {
            "cluster.nodes.decode.count": 1,
            "placement.kv_pool": False,
            "model.enable_prefix_caching": False,
        },
    ),
    "two-parts": ("demo", 1, {"cluster.nodes.decode.count": 1, "model.micro_batches": 2}),
    "shared-prefix": (
        "demo",
        1,
        {
            "cluster.nodes.decode.count": 1,
            "workload.prompts": SHARED,
            "model.max_model_len": 160,
        },
    ),
}


def drawn(name: str, changes: Mapping[str, object] | None = None) -> Blueprint:
    scenario, _, topology = TOPOLOGIES[name]
    return Blueprint.draw(load_scenario(scenario, {**LOAD, **topology, **(changes or {})}))


def pressed(name: str) -> dict[str, object]:
    """A third of the load's KV over all chips that decode."""
    blocks = THIRD_BLOCKS // TOPOLOGIES[name][1]
    return {"placement.reserve": "watermark", "model.num_kv_blocks": blocks}


def tokens_of(answers: list[Answer]) -> dict[str, tuple[str, list[int]]]:
    return {a.request_id: (a.finish_reason, a.token_ids) for a in answers}


@cache
def unpressed(name: str, seed: int) -> dict[str, tuple[str, list[int]]]:
    """With room for everybody, reserved in full: nobody is ever preempted."""
    run = run_there(drawn(name, {"seed": seed, "model.num_kv_blocks": 256}))
    assert run.preemptions == 0
    assert all(reason == "length" for reason, _ in tokens_of(run.answers).values())
    return tokens_of(run.answers)


def run_pressed(name: str, changes: Mapping[str, object]) -> Run:
    """In the world that `changes` name; virtual if they name none."""
    return run_there(drawn(name, {**pressed(name), **changes}))

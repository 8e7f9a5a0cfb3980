"""Digest runs beside their closed-form reference, in random clusters.

    python -m benchmarks.network --only digests

Each cluster is drawn from its number (`_digest_clusters`), runs in the virtual world, and every
token of every answer must be that of `workers.model.digest.reference`, which knows no scheduler, no
block, no message and no chip. Expected: all of them, as digests add modulo 2^64 in any order. What
was exercised is counted, so that equality is not that of clusters in which nothing happened.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.network._digest_clusters import Case, drawn
from benchmarks.rows import Row
from cluster.workload.build import Workload, build_workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.host.rng import Rng
from workers.host.trace import Delivered
from workers.model.digest.reference import reference_of

NUM_CLUSTERS = 200
# Shipped descriptions of models that do not fit this machine.
SPARSE = ("deepseek-v3", "kimi-k2", "qwen3-235b-a22b", "gpt-oss-120b", "deepseek-v3.2", "glm-5")
DENSE = ("llama-3.1-405b",)
# With states in some layers, and no prefix cache.
STATES = ("qwen3-next-80b-a3b", "qwen3.5-397b-a17b")
# What must have come about, by the kind of a message or by what chips count.
EXERCISED = (
    "dispatch", "weights", "kv_blocks", "pool_put", "pool_blocks", "near_attend", "near_fetch",
    "preemptions", "offload_stored", "offload_returned", "piece", "share", "stage_rows", "kv_part",
    "kv_part of slices",
)  # fmt: skip


def blueprint_of(case: Case, folder: Path) -> Blueprint:
    path = folder / f"{case.scenario['name']}.yaml"
    path.write_text(json.dumps(case.scenario))  # JSON is YAML
    return Blueprint.draw(load_scenario(path))


def wanted(blueprint: Blueprint, workload: Workload) -> dict[str, list[int]]:
    """Request id -> its tokens, by the reference."""
    scenario = blueprint.scenario
    section, seed = scenario.model, scenario.seed
    reference = reference_of(blueprint.model, blueprint.plan.span_tokens, seed, section.routing)
    rng = Rng(seed)

    def uniform(request_seed: int | None) -> Callable[[int], float]:
        return lambda index: rng.uniform("sample", request_seed or 0, index)

    return {
        timed.request.request_id: list(
            reference.answer(
                timed.request.prompt_ids,
                timed.request.sampling,
                blueprint.model.eos_token_ids,
                uniform(timed.request.sampling.seed),
            )
        )
        for timed in workload.requests
    }


def answered(
    blueprint: Blueprint, workload: Workload, *, through_frames: bool
) -> tuple[list[Answer], Counter[str]]:
    """By the cluster; and what came about."""

    async def job(world: VirtualWorld) -> tuple[list[Answer], Counter[str]]:
        answers = await Driver(world.gateway, world.client).run(workload)
        records = world.trace.records
        found = Counter(record.kind for record in records if isinstance(record, Delivered))
        for counts in (await world.ask_each(list(world.seats), "counts")).values():
            found.update(counts)
        if any(form.slices > 1 for form in blueprint.plan.forms.values()):
            found["kv_part of slices"] = found["kv_part"]
        return answers, found

    return run_virtual(blueprint, job, through_frames=through_frames)


def differences(case: Case, folder: Path) -> tuple[int, int, Counter[str]]:
    """Answers that differ, of how many; and what came about."""
    blueprint = blueprint_of(case, folder)
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    answers, found = answered(blueprint, workload, through_frames=case.through_frames)
    right = wanted(blueprint, workload)
    wrong = sum(bool(a.error) or list(a.tokens) != right[a.request_id] for a in answers)
    return wrong + abs(len(right) - len(answers)), len(right), found


def equals_reference(name: str) -> bool:
    """Of a shipped description: two requests on two chips beside eight shards, all of which have
    room for it.
    """
    chip, experts = "cluster.nodes.chip", "cluster.nodes.experts"
    changes: dict[str, object] = {
        "model.path": name,
        "model.served_name": None,
        "model.max_model_len": 512,
        f"{chip}.count": 2,
        f"{chip}.device.tiers.hbm.capacity": "4 TB",
        "model.enable_prefix_caching": name not in STATES,
        "workload.arrivals.closed": {"concurrency": 2, "num_requests": 2},
        "workload.prompts.synthetic.output_length.fixed": 3,
    }
    if name in DENSE:
        changes[experts] = None
    else:
        changes |= {f"{experts}.count": 8, f"{experts}.device.tiers.hbm.capacity": "4 TB"}
    blueprint = Blueprint.draw(load_scenario("deepseek-ep32", changes))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    answers, _ = answered(blueprint, workload, through_frames=False)
    right = wanted(blueprint, workload)
    return {answer.request_id: list(answer.tokens) for answer in answers} == right


def published_rows() -> list[Row]:
    how = "measured: virtual world, without weights, every token beside the reference"
    return [
        Row(f"digests: {name}", "equal" if (holds := equals_reference(name)) else "differ", "",
            "equal", holds, how)
        for name in (*SPARSE, *STATES, *DENSE)
    ]  # fmt: skip


def run() -> list[Row]:
    found: Counter[str] = Counter()
    num_answers, wrong = 0, []
    with TemporaryDirectory() as name:
        for number in range(NUM_CLUSTERS):
            differ, total, happened = differences(drawn(number, Path(name)), Path(name))
            found.update(happened)
            num_answers += total
            if differ:
                wrong.append(number)
    how = f"measured: virtual world, {num_answers:,} answers; differ: {wrong or 'none'}"
    equal = NUM_CLUSTERS - len(wrong)
    rows = [Row("digests: clusters whose every token is the reference's", equal, "",
                f"{NUM_CLUSTERS} of {NUM_CLUSTERS}", not wrong, how)]  # fmt: skip
    rows += [
        Row(f"digests: {what} in these clusters", found[what], "", "> 0", found[what] > 0,
            "measured: counted over all of them")
        for what in EXERCISED
    ]  # fmt: skip
    return [*rows, *published_rows()]

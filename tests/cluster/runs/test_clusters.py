"""The shipped clusters serve: hardware changes when a token comes, and never which token."""

from collections.abc import Sequence
from functools import cache

import pytest

from cluster.runs.run import Run, run_traced
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.plan import ChipPlan, ShardPlan
from configs.schema import load_scenario
from tests.golden.scenarios import closed
from workers.host.trace import Ran, Record

US_NS = 1_000


@cache
def served(name: str) -> tuple[Run, Sequence[Record]]:
    """Six questions that retrieve, two users."""
    blueprint = Blueprint.draw(load_scenario(name, closed(6, concurrency=2)))
    return run_traced(blueprint, build_workload(blueprint.scenario, blueprint.model.vocab))


@pytest.mark.parametrize("name", ["h3", "pnm", "cpx"])
def test_a_cluster_answers_as_the_demo_does(name: str) -> None:
    """Arithmetic is exact in fp32, wherever weights lie and whoever holds which expert."""
    run, _ = served(name)
    assert not any(run.held.values()), run.held
    assert all(answer.error is None for answer in run.answers)
    expected = {answer.request_id: list(answer.tokens) for answer in served("demo")[0].answers}
    assert {answer.request_id: list(answer.tokens) for answer in run.answers} == expected
    assert min(map(len, expected.values())) > 1


def test_h3_reads_frozen_weights_from_flash() -> None:
    """A chip's step and a shard's pass wait for a page of flash, 20 us, and for a launch, 3 us."""
    plan = Blueprint.draw(load_scenario("h3")).plan
    chip, shard = plan.node("chip-0").workers
    assert isinstance(chip, ChipPlan) and isinstance(shard, ShardPlan)
    assert (chip.tier, chip.embeddings_tier, chip.kv_tier) == ("hbf", "hbf", "hbm")
    assert shard.tier == "hbf"
    took_ns = expert_ns(served("h3")[1])
    assert min(took_ns) >= (20 + 3) * US_NS
    assert min(expert_ns(served("demo")[1])) < 4 * US_NS, "an H100's: 3 us and little more"


def test_pnm_computes_experts_beside_memory() -> None:
    """Its logic starts in 1 us, where a chip takes 3."""
    plan = Blueprint.draw(load_scenario("pnm")).plan
    shards = [node for node in plan.nodes if isinstance(node.workers[0], ShardPlan)]
    assert [node.device.name for node in shards] == ["pnm-hbm4", "pnm-hbm4"]
    assert min(expert_ns(served("pnm")[1])) < 3 * US_NS


def expert_ns(records: Sequence[Record]) -> list[int]:
    """How long each pass through a shard's experts took its machine."""
    return [r.took_ns for r in records if isinstance(r, Ran) and r.work.startswith("experts")]

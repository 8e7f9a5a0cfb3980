"""Chips of several ranks in a plan: each rank a node, and what such chips are not combined with."""

from typing import Any

import pytest

from configs.families import load_model
from configs.plan import ChipPlan, RankPlan, make_plan
from configs.presets import model_folder
from configs.schema import ScenarioError, load_scenario

TINY = load_model(model_folder("perfuse-tiny"))
NO_POOL = {"placement.kv_pool": False}
TWO = {**NO_POOL, "cluster.nodes.decode.tensor_parallel_size": 2}


def problems(changes: dict[str, object]) -> list[str]:
    with pytest.raises(ScenarioError) as error:
        make_plan(load_scenario("demo", changes), TINY)
    return list(error.value.problems)


def test_each_rank_is_a_node_and_the_leader_is_the_chip() -> None:
    changes = {**TWO, "cluster.nodes.decode.pipeline_parallel_size": 2}
    plan = make_plan(load_scenario("demo", changes), TINY)
    nodes = [node.name for node in plan.nodes if node.group == "decode"]
    assert nodes[:4] == ["decode-0", "decode-0-rank-0", "decode-0-rank-1", "decode-0-rank-3"]
    assert len(nodes) == 8, "two such chips"
    assert plan.names("decode") == ("decode-0", "decode-1")
    ranks = plan.ranks["decode-1"]
    assert ranks.names == ("decode-1-rank-0", "decode-1-rank-1", "decode-1", "decode-1-rank-3")
    assert plan.ranks["prefill-0"].names == ("prefill-0",) and plan.is_split
    for name in ranks.names:
        worker = plan.worker(name)
        assert isinstance(worker, ChipPlan | RankPlan) and worker.node == name
        assert worker.kv_bytes == worker.num_kv_blocks * plan.kv_block_bytes // 4


def test_all_ranks_have_as_many_blocks_as_the_fullest_has_room_for() -> None:
    """The leader holds the projection too: what that takes, KV cannot have, on any rank."""
    changes = {
        **TWO,
        "cluster.nodes.decode.pipeline_parallel_size": 2,
        "model.num_kv_blocks": None,
        "cluster.nodes.decode.device.tiers.hbm.capacity": "8 MB",
    }
    plan = make_plan(load_scenario("demo", changes), TINY)
    workers: list[Any] = [plan.worker(name) for name in plan.ranks["decode-0"].names]
    blocks = [worker.num_kv_blocks for worker in workers]
    assert len(set(blocks)) == 1 and blocks[0] > 64
    fills = [
        sum(fill.num_bytes for fill in plan.node(name).fills["hbm"])
        for name in plan.ranks["decode-0"].names
    ]
    assert max(fills) <= 0.9 * 8e6 < max(fills) + plan.kv_block_bytes
    assert fills[3] < fills[2]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"placement.kv_pool": True}, "placement.kv_pool: is true"),
        ({"placement.kv_offload": {"tier": "memory"}}, "placement.kv_offload: is given"),
        ({"placement.kv_near": {}}, "placement.kv_near: is given"),
        ({"placement.experts.mode": "ship"}, "placement.experts.mode: is 'ship'"),
        ({"placement.experts_prefetch": True}, "placement.experts_prefetch: is true"),
        ({"model.dtype": "bf16"}, "model.dtype: is bf16"),
    ],
)
def test_what_cannot_be_combined_is_refused_by_name(change: dict[str, object], key: str) -> None:
    found = [each for each in problems({**TWO, **change}) if each.startswith(key)]
    assert found and "cluster.nodes.decode have several ranks" in found[0]


def test_a_degree_is_refused_under_its_key() -> None:
    (problem,) = problems({**NO_POOL, "cluster.nodes.decode.tensor_parallel_size": 3})
    assert problem.startswith("cluster.nodes.decode.tensor_parallel_size: is 3, which does not")


def test_stages_of_a_scenario_are_checked() -> None:
    key = "cluster.nodes.decode.pipeline_layers"
    two = {**NO_POOL, "cluster.nodes.decode.pipeline_parallel_size": 2}
    (problem,) = problems({**two, key: [3, 2]})
    assert problem.startswith(f"{key}: are 5 in all, and the model has 4 layers: ")
    assert problem.endswith("is [3, 1]")
    (problem,) = problems({**two, key: [1, 1, 2]})
    assert problem.startswith(f"{key}: names 3 stages, and pipeline_parallel_size is 2: make")
    plan = make_plan(load_scenario("demo", {**two, key: [3, 1]}), TINY)
    first: Any = plan.worker("decode-0-rank-0")
    last: Any = plan.worker("decode-0")
    assert (len(plan.part(first).layers), len(plan.part(last).layers)) == (3, 1)
    assert first.kv_bytes == 3 * last.kv_bytes == 3 * last.num_kv_blocks * plan.kv_block_bytes // 4


@pytest.mark.parametrize("group", ["router", "experts", "hbf"])
def test_only_chips_have_ranks(group: str) -> None:
    with pytest.raises(ScenarioError, match="only one of prefill, decode and chip has ranks"):
        load_scenario("demo", {f"cluster.nodes.{group}.pipeline_parallel_size": 2})
    with pytest.raises(ScenarioError, match=r"pipeline_layers is \[4\], and workers names"):
        load_scenario("demo", {f"cluster.nodes.{group}.pipeline_layers": [4]})

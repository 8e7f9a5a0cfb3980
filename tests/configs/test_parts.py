"""Which part of a model each rank of a chip holds: together the whole, each head of each layer
once.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.parts import Heads, Part, Ranks, parts_of
from configs.plan import ChipPlan, RankPlan, make_plan
from configs.precision import EXACT, Precision
from configs.presets import model_folder
from configs.schema import ScenarioError, load_scenario
from configs.shapes.as_config import config_of
from configs.shapes.describe import describe_model
from configs.stages import stages_of

TINY = load_model(model_folder("perfuse-tiny"))
DEEPSEEK = replace(TINY, dense_layers=1, dense_intermediate=256)


@pytest.mark.parametrize("tensor", [1, 2, 4])
@pytest.mark.parametrize("pipeline", [1, 2, 4])
def test_ranks_hold_each_head_of_each_layer_once(tensor: int, pipeline: int) -> None:
    held = np.zeros((TINY.num_layers, TINY.num_kv_heads), dtype=int)
    parts = parts_of(TINY, tensor, pipeline)
    for part in parts:
        heads = part.heads or Heads(0, TINY.num_kv_heads)
        held[part.layers, heads.first : heads.first + heads.count] += 1
    assert (held == 1).all()
    kv = [EXACT.kv_bytes_per_token(part.of(TINY)) for part in parts]
    assert sum(kv) == EXACT.kv_bytes_per_token(TINY) and len(set(kv)) == 1
    ranks = Ranks(tensor, tuple(f"r{i}" for i in range(len(parts))), parts)
    assert [part.projects for part in parts].index(True) == ranks.leader
    assert sum(part.projects for part in parts) == 1
    assert [part.embeds for part in parts] == [True] * tensor + [False] * (len(parts) - tensor)


def test_what_a_rank_has_of_the_vocabulary() -> None:
    """perfuse-tiny's embedding is its projection: 512 rows of 128 in fp32, once where both are."""
    matrix = 512 * 128 * 4
    untied = replace(TINY, tie_embeddings=False)
    for embeds, projects, tied_bytes, untied_bytes in (
        (True, True, matrix, 2 * matrix),
        (True, False, matrix, matrix),
        (False, True, matrix, matrix),
        (False, False, 0, 0),
    ):
        part = Part(0, 4, None, embeds, projects)
        assert part.embeddings_bytes(TINY, EXACT) == tied_bytes
        assert part.embeddings_bytes(untied, EXACT) == untied_bytes


def test_dense_layers_are_in_the_first_stage() -> None:
    sizes = [part.of(DEEPSEEK) for part in parts_of(DEEPSEEK, 1, 2)]
    assert [(s.num_layers, s.dense_layers) for s in sizes] == [(2, 1), (2, 0)]


@pytest.mark.parametrize(
    ("tensor", "pipeline", "config", "why"),
    [
        (
            3,
            1,
            TINY,
            "tensor_parallel_size: is 3, which does not divide the model's 4 KV heads: .* is 2",
        ),
        (8, 1, TINY, "tensor_parallel_size: is 8, .* 4 KV heads: the nearest that does is 4"),
        (1, 5, TINY, "pipeline_parallel_size: is 5, .* 4 layers, .*: the nearest .* is 4"),
        (2, 1, DEEPSEEK, "tensor_parallel_size: is 2, and .* is not split by heads: .*: use 1"),
    ],
)
def test_a_degree_that_does_not_divide_is_refused_with_the_nearest_that_would_do(
    tensor: int, pipeline: int, config: ModelConfig, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        parts_of(config, tensor, pipeline)


@pytest.mark.parametrize(
    ("num_layers", "layers"),
    [
        (61, (61,)),
        (61, (31, 30)),
        (61, (20, 21, 20)),
        (61, (15, 15, 16, 15)),
        (62, (15, 16, 16, 15)),
        (63, (16, 16, 16, 15)),
        (64, (16, 16, 16, 16)),
        (5, (1, 1, 2, 1)),
        (4, (1, 1, 1, 1)),
    ],
)
def test_layers_that_are_left_over_stand_where_vllm_puts_them(
    num_layers: int, layers: tuple[int, ...]
) -> None:
    """`get_pp_indices`, by hand: from the last stage but one backwards."""
    stages = stages_of(num_layers, len(layers))
    assert tuple(map(len, stages)) == layers
    assert [layer for stage in stages for layer in stage] == list(range(num_layers))


def test_stages_may_be_given() -> None:
    assert stages_of(61, 2, (40, 21)) == (range(40), range(40, 61))
    for given, nearest in (((31, 31), "31, 30"), ((31, 29), "31, 30"), ((61, 3), "31, 30")):
        total = sum(given)
        why = rf"pipeline_layers: are {total} .* 61 layers: the nearest .* is \[{nearest}\]"
        with pytest.raises(ValueError, match=why):
            stages_of(61, 2, given)


def test_a_stage_of_a_described_model_has_the_sizes_of_its_own_layers() -> None:
    """Three dense layers come first: a stage behind them holds none of these."""
    config = config_of(describe_model("kimi-k2"), "kimi-k2")
    precision = Precision("bf16", "bf16")
    parts = [part.of(config) for part in parts_of(config, 1, 4)]
    assert [part.num_layers for part in parts] == [15, 15, 16, 15]
    assert [part.dense_layers for part in parts] == [config.dense_layers, 0, 0, 0]
    for part, first in zip(parts, (0, 15, 30, 46), strict=True):
        for layer in range(part.num_layers):
            of_all = precision.layer_bytes(config, first + layer)
            assert precision.layer_bytes(part, layer) == of_all
    assert sum(map(precision.kv_bytes_per_token, parts)) == precision.kv_bytes_per_token(config)


@pytest.mark.parametrize("tensor", [1, 2, 4])
@pytest.mark.parametrize("pipeline", [1, 2, 3, 4])
def test_what_two_chips_have_in_common_is_all_that_either_needs(tensor: int, pipeline: int) -> None:
    """A block that is cut at one chip and put together at another is whole."""
    block = np.arange(4 * 2 * 3 * 4 * 5).reshape(1, 4, 2, 3, 4, 5)
    whole = Part(0, 4)
    of_two = parts_of(TINY, 2, 2), parts_of(TINY, 1, 2, (3, 1))
    for sources in (*of_two, parts_of(TINY, 4, 1), parts_of(TINY, 1, 3), parts_of(TINY, 1, 1)):
        for wanted in parts_of(TINY, tensor, pipeline):
            layers, heads = whole.window_of(wanted)
            expected = block[:, layers, :, :, heads]
            got = np.full_like(expected, -1)
            for source in sources:
                common = source.common(wanted)
                if common is None:
                    continue
                own_layers, own_heads = whole.window_of(source)
                own = block[:, own_layers, :, :, own_heads]
                from_layers, from_heads = source.window_of(common)
                to_layers, to_heads = wanted.window_of(common)
                cut = own[:, from_layers, :, :, from_heads]
                got[:, to_layers, :, :, to_heads] = cut
            assert np.array_equal(got, expected)


# -- in a plan -------------------------------------------------------------------------------------

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
    with pytest.raises(ScenarioError, match=r"pipeline_layers names 3 stages, and .*_size is 2"):
        load_scenario("demo", {**two, key: [1, 1, 2]})
    plan = make_plan(load_scenario("demo", {**two, key: [3, 1]}), TINY)
    first: Any = plan.worker("decode-0-rank-0")
    last: Any = plan.worker("decode-0")
    assert (len(plan.part(first).layers), len(plan.part(last).layers)) == (3, 1)
    assert first.kv_bytes == 3 * last.kv_bytes == 3 * last.num_kv_blocks * plan.kv_block_bytes // 4


@pytest.mark.parametrize("group", ["router", "experts", "hbf"])
def test_only_chips_have_ranks(group: str) -> None:
    with pytest.raises(ScenarioError, match="only one of prefill, decode and chip has ranks"):
        load_scenario("demo", {f"cluster.nodes.{group}.pipeline_parallel_size": 2})

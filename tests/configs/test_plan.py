"""Plans: what stands where, and every impossible cluster refused with what would be right."""

from dataclasses import replace

import pytest

from configs.model_config import ModelConfig
from configs.plan import ChipPlan, MemoryPlan, Plan, ShardPlan, make_plan
from configs.presets import preset_names
from configs.schema import ScenarioError, load_scenario
from tests.configs.shipped import config_of

# The shapes of perfuse-tiny, so that these tests need no checkpoint.
TINY = ModelConfig(
    architecture="Qwen3MoeForCausalLM",
    dtype="float32",
    hidden=128,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    num_experts=8,
    top_k=2,
    moe_intermediate=128,
    vocab=512,
    rope_theta=10_000.0,
    rms_eps=1e-6,
    norm_topk_prob=True,
    tie_embeddings=True,
    max_context=1024,
)
# About Qwen3-235B-A22B: 940 GB in fp32.
LARGE = replace(
    TINY,
    hidden=4096,
    num_layers=94,
    num_heads=64,
    num_kv_heads=4,
    head_dim=128,
    num_experts=128,
    top_k=8,
    moe_intermediate=1536,
    vocab=151_936,
)

H100_BUDGET = int(0.9 * 81_559 * 2**20)


def plan(overrides=None, scenario="demo", config=TINY) -> Plan:
    return make_plan(load_scenario(scenario, overrides), config)


def problems(overrides, scenario="demo", config=TINY) -> tuple[str, ...]:
    with pytest.raises(ScenarioError) as caught:
        plan(overrides, scenario, config)
    return caught.value.problems


@pytest.mark.parametrize("name", preset_names("scenario"))
def test_every_shipped_scenario_plans(name: str) -> None:
    config = config_of(name, TINY)
    made = plan(scenario=name, config=config)
    assert sorted(made.experts) == list(range(config.num_experts))
    assert list(made.directory) == [worker.name for worker in made.workers]
    for worker in made.workers:
        assert worker in made.node(made.directory[worker.name]).workers
        assert made.worker(worker.name) is worker
    for node in made.nodes:
        for tier, fills in node.fills.items():
            used = sum(fill.num_bytes for fill in fills)
            assert used <= 0.9 * node.device.tiers[tier].capacity_bytes


def test_the_demo_is_named_as_it_reads() -> None:
    made = plan()
    assert [node.name for node in made.nodes] == [
        "router",
        "gateway",
        "prefill-0",
        "decode-0",
        "decode-1",
        *(f"experts-{i}" for i in range(4)),
        "hbf-0",
        "pnm-0",
    ]
    assert made.names("memory") == ("memory-0", "memory-1")
    assert made.names("prefill", "decode") == ("prefill-0", "decode-0", "decode-1")
    assert made.directory["memory-1"] == "pnm-0"
    assert made.experts == {e: (f"experts-{e // 2}",) for e in range(8)}
    assert made.max_model_len == 1024
    server = made.worker("memory-0")
    assert isinstance(server, MemoryPlan)
    assert (server.collection_tier, server.pool_tier) == ("hbf", "ddr")
    assert (server.index, server.num_servers, server.collections) == (0, 2, ("cards",))


def test_kv_gets_what_weights_leave() -> None:
    """And activations: stated here, counted in `tests/configs/test_capacity.py`."""
    made = plan({"model.num_kv_blocks": None, "model.activation_memory": "3 GB"})
    chip = made.worker("decode-0")
    assert isinstance(chip, ChipPlan)
    room = H100_BUDGET - TINY.chip_bytes(4) - 3 * 10**9
    assert made.kv_block_bytes == 16 * TINY.kv_bytes_per_token(4)
    assert chip.num_kv_blocks == room // made.kv_block_bytes
    assert chip.weights_bytes == TINY.chip_bytes(4)


def test_workers_of_one_node_share_its_memory() -> None:
    two = {"cluster.nodes.chip.workers": ["prefill", "decode", "experts"]}
    one = {"model.num_kv_blocks": None, "model.activation_memory": "1 GB"}
    made = plan({**one, **two}, scenario="single")
    prefill, decode, shard = made.node("chip-0").workers
    assert isinstance(prefill, ChipPlan)
    assert isinstance(decode, ChipPlan)
    assert isinstance(shard, ShardPlan)
    assert prefill.num_kv_blocks == decode.num_kv_blocks
    used = 2 * (prefill.weights_bytes + prefill.kv_bytes) + shard.weights_bytes + 3 * 10**9
    assert H100_BUDGET - 2 * made.kv_block_bytes < used <= H100_BUDGET


def test_the_large_model_fits_where_there_is_room() -> None:
    made = plan(
        {
            "cluster.nodes.experts.count": 16,
            "cluster.nodes.experts.device": "h200-sxm",
            "model.num_kv_blocks": None,
        },
        config=LARGE,
    )
    assert len(made.names("experts")) == 16
    in_flash = plan(
        {
            "cluster.nodes.experts.count": 1,
            "cluster.nodes.experts.device": "b200-h3",
            "placement.experts_tier": "hbf",
            "model.num_kv_blocks": None,
        },
        config=LARGE,
    )
    shard = in_flash.worker("experts-0")
    assert isinstance(shard, ShardPlan)
    assert shard.tier == "hbf"


def test_kv_lies_where_the_placement_says_and_takes_room_there() -> None:
    """The weights stay in the default tier, and every byte of the other one may be KV."""
    changes = {
        "cluster.nodes.prefill.device": "b200-h3",
        "cluster.nodes.decode.device": "b200-h3",
        "placement.kv_tier": "hbf",
        "model.num_kv_blocks": None,
    }
    made = plan(changes)
    chip, node = made.worker("decode-0"), made.node("decode-0")
    assert isinstance(chip, ChipPlan)
    assert (chip.tier, chip.kv_tier) == ("hbm", "hbf")
    block_bytes = 16 * TINY.kv_bytes_per_token(4)
    budget = int(0.9 * node.device.tiers["hbf"].capacity_bytes)
    assert chip.num_kv_blocks == budget // block_bytes
    assert [fill.what for fill in node.fills["hbf"]] == ["kv"]
    assert [fill.what for fill in node.fills["hbm"]] == ["weights", "activations"]
    beside = plan(changes | {"placement.kv_tier": None}).worker("decode-0")
    assert isinstance(beside, ChipPlan)
    assert beside.kv_tier == "hbm" and beside.num_kv_blocks < chip.num_kv_blocks


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"cluster.nodes.router": None}, "no router: there must be exactly one"),
        ({"cluster.nodes.gateway": None}, "no gateway: there must be exactly one"),
        ({"cluster.nodes.router.count": 2}, "2 routers: there must be exactly one"),
        ({"cluster.nodes.prefill": None}, "no prefill chip: add a group"),
        ({"cluster.nodes.decode": None}, "no decode chip: add a group"),
        ({"cluster.nodes.experts": None}, "no expert shard"),
        ({"cluster.nodes.experts.count": 9}, "9 expert shards for 8 experts"),
        (
            {
                "cluster.nodes.hbf": None,
                "cluster.nodes.pnm": None,
                "placement.kv_pool": False,
            },
            "placement.collections.cards: needs a memory server",
        ),
        ({"placement.experts.shards": {"experts-0": list(range(8))}}, "experts-1: holds no expert"),
        ({"placement.experts_tier": "hbf"}, "did you mean 'hbm'?"),
        ({"placement.kv_tier": "hbf"}, "placement.kv_tier: is 'hbf', which h100-sxm in cluster"),
        ({"model.max_model_len": 1025}, "so at most 1024"),
        ({"model.num_kv_blocks": 63}, "lower model.max_model_len to 1008"),
        ({"model.num_kv_blocks": 10**9}, "has room for 2348830"),
        (
            {"model.max_num_seqs": 300},
            "lower the first to 256 or raise the second",
        ),
        ({"cluster.emulation": False}, "cluster.emulation: is off in the virtual world"),
        (
            {"cluster.world": "local", "cluster.transport": "memory"},
            "use 'grpc', or world: process",
        ),
        (
            {"faults": [{"type": "drop", "source": "decode-3"}]},
            "faults.0.source: no node or worker",
        ),
        (
            {"cluster.nodes.decode.device.compute.fp32": None},
            "h100-sxm has no fp32 rate",
        ),
    ],
)
def test_an_impossible_cluster_is_refused(overrides, message) -> None:
    found = problems(overrides)
    assert any(message in line for line in found), found


def test_a_model_too_large_says_what_is_needed_and_what_there_is() -> None:
    found = problems({"model.num_kv_blocks": None}, config=LARGE)
    assert any(
        "cluster.nodes.experts: 227 GB of experts and 92.3 MB of activations do not fit tier hbm "
        "of h100-sxm: needs 227 GB, has 77 GB (90% of 81559 MiB); use more expert shards, or a "
        "device with at least 252 GB" in line
        for line in found
    ), found


def test_both_pool_and_collections_ask_for_a_memory_server() -> None:
    found = problems({"cluster.nodes.hbf": None, "cluster.nodes.pnm": None})
    assert [line.split(":")[0] for line in found] == [
        "placement.collections.cards",
        "placement.kv_pool",
    ]


def test_all_problems_come_at_once() -> None:
    found = problems(
        {
            "cluster.nodes.router": None,
            "cluster.nodes.decode": None,
            "model.max_model_len": 4096,
            "cluster.nodes.experts.count": 20,
        }
    )
    assert len(found) >= 4, found


def test_node_names_that_collide_are_refused() -> None:
    twin = {"workers": ["router"], "device": "host-cpu", "link": "ideal-1us"}
    found = problems({"cluster.nodes.router": None, "cluster.nodes.decode-0": twin})
    assert any("groups decode, decode-0 both have a node 'decode-0'" in line for line in found)

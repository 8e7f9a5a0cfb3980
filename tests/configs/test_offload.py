"""KV offload in a scenario: what is refused, what it takes of a tier, and what a block costs."""

from typing import Any

import pytest

from configs.model_config import ModelConfig
from configs.offload import weights_met
from configs.plan import ChipPlan, Plan, make_plan
from configs.presets import model_folder
from configs.schema import ScenarioError, load_scenario

OWN = {"tier": "hbf", "capacity": "1 GB"}
H3 = {"cluster.nodes.prefill.device": "b200-h3", "cluster.nodes.decode.device": "b200-h3"}


def config() -> ModelConfig:
    from configs.families import load_model

    return load_model(model_folder("perfuse-tiny"))


def plan(offload: Any, **changes: Any) -> Plan:
    return make_plan(load_scenario("demo", {"placement.kv_offload": offload, **changes}), config())


def chip_of(made: Plan) -> ChipPlan:
    return next(worker for worker in made.workers if isinstance(worker, ChipPlan))


@pytest.mark.parametrize(
    ("offload", "changes", "told"),
    [
        ({"tier": "hbf"}, H3, "capacity is not given"),
        ({"tier": "memory", "capacity": "1 GB"}, {}, "leave capacity out"),
        (OWN, {}, "placement.kv_offload.tier: is 'hbf', which h100-sxm .* does not have"),
        ({"tier": "hbm", "capacity": "900 GB"}, {}, "kv_offload do not fit tier hbm"),
        ({**OWN, "admission": "sometimes"}, H3, "admission.*'second_use'"),
        ({**OWN, "capacity": "0 B"}, H3, "capacity"),
        (OWN, {**H3, "model.enable_prefix_caching": False}, "enable_prefix_caching is false"),
        # 16 tokens of 4 KiB, keys and values of four layers.
        (
            {"tier": "hbm", "capacity": "65535 B"},
            {},
            "capacity: is 65.535 kB, .*: one takes 64 KiB",
        ),
        (
            {"tier": "memory"},
            {"cluster.nodes.hbf": None, "cluster.nodes.pnm": None, "placement.kv_pool": False},
            "placement.kv_offload.tier: needs a memory server",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(
    offload: Any, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ScenarioError, match=told):
        plan(offload, **changes)


def test_it_takes_its_part_of_the_tier_before_the_cache_gets_the_rest() -> None:
    without, with_it = (
        chip_of(plan(offload, **{"model.num_kv_blocks": None, "model.max_model_len": 512}))
        for offload in (None, {"tier": "hbm", "capacity": "10 GB"})
    )
    block_bytes = without.kv_bytes // without.num_kv_blocks
    given_up = without.num_kv_blocks - with_it.num_kv_blocks
    assert 0 <= given_up * block_bytes - 10 * 10**9 < block_bytes


def test_the_pool_has_room_for_what_chips_offload() -> None:
    changes = {"placement.kv_pool": False}
    sizes = [
        [getattr(w, "pool_bytes", 0) for w in plan(offload, **changes).workers]
        for offload in (None, {"tier": "memory"})
    ]
    assert sum(sizes[0]) == 0 < sum(sizes[1])


def test_the_costs_of_a_block_are_those_worked_out_by_hand() -> None:
    """H3's flash: 8 TB/s and 20 us to read, 64 GB/s and 250 us to write; 3 TB of 100,000 cycles
    that are to last 6 years of 365.25 days. A block has 16 tokens.
    """
    made = plan(OWN, **H3)
    offload = chip_of(made).offload
    assert offload is not None and offload.tier == "hbf"
    assert offload.capacity_bytes == 10**9
    size = made.kv_block_bytes
    assert offload.costs.write_ns == 250_000 + -(-size // 64)
    assert offload.costs.read_ns == 20_000 + -(-size // 8_000)
    assert offload.wear_bytes_per_s == pytest.approx(3e12 * 1e5 / (6 * 365.25 * 86_400))
    # fp32 at 80 TFLOP/s x 78 %.
    flops = 2 * 16 * weights_met(config())
    assert offload.costs.compute_ns == pytest.approx(flops / (80e12 * 0.78) * 1e9, abs=1)


def test_over_the_link_a_read_is_a_message_there_and_one_back() -> None:
    made = plan({"tier": "memory"})
    offload = chip_of(made).offload
    assert offload is not None and offload.tier is None and offload.wear_bytes_per_s is None
    link = made.nodes[0].link
    moved_ns = -(-made.kv_block_bytes * 10**9 // link.bytes_per_s)
    assert offload.costs.write_ns == moved_ns + link.latency_ns
    assert offload.costs.read_ns == moved_ns + 2 * link.latency_ns


def test_a_token_meets_the_experts_that_it_chooses_and_no_others() -> None:
    sizes = config()
    expert = 3 * sizes.hidden * sizes.moe_intermediate
    per_layer = sizes.attention.num_weights + sizes.hidden * sizes.num_experts
    assert weights_met(sizes) == sizes.num_layers * (per_layer + sizes.top_k * expert)

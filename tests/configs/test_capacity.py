"""What a machine holds: capacities as machines say themselves, and what is set aside of them."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from configs.activations import chip_activation_bytes, shard_activation_bytes
from configs.fitting import Fill
from configs.model_config import ModelConfig
from configs.plan import ChipPlan, Plan, make_plan
from configs.precision import Precision
from configs.presets import KINDS, preset_names
from configs.schema import ScenarioError, load_device, load_scenario
from tests.configs.test_plan import TINY, problems

MIB, GIB = 1 << 20, 1 << 30
# Where the figures stand is written beside them in `configs/devices`.
CAPACITIES = {
    ("h100-sxm", "hbm"): 81_559 * MIB,
    ("h200-sxm", "hbm"): 143_771 * MIB,
    ("b200-sxm", "hbm"): 183_359 * MIB,
    ("b200-h3", "hbm"): 183_359 * MIB,
    ("b200-h3", "hbf"): 8 * 375 * 10**9,
    ("a100-sxm", "hbm"): 81_920 * MIB,
    ("h20", "hbm"): 97_871 * MIB,
    ("h800", "hbm"): 81_559 * MIB,
    ("b200-base-die", "hbm"): 183_359 * MIB,
    ("gb200", "hbm"): 198_674_743_296,
    ("b300-sxm", "hbm"): 288_400_343_040,
    ("gb300", "hbm"): 298_013_687_808,
    ("rubin-cpx", "gddr"): 128 * GIB,
    ("mi300x", "hbm"): 201_310_208 << 10,
    ("mi355x", "hbm"): 301_973_504 << 10,
    ("mi455x", "hbm"): 12 * 36 * GIB,
    ("tpu-v5e", "hbm"): 63 * GIB // 4,
    ("tpu-v5p", "hbm"): 9_574 * GIB // 100 // MIB * MIB,
    ("tpu-v6e", "hbm"): 125 * GIB // 4,
    ("groq-lpu", "sram"): 230 * 10**6,
    ("dmatrix-corsair", "sram"): 2 * 10**9,
    ("dmatrix-corsair", "lpddr"): 256 * GIB,
    ("a18-pro", "lpddr"): 8 * GIB,
    ("xpu-3d-dram", "dram"): 36 * GIB,
    ("memory-hbm4", "hbm"): 8 * 48 * GIB,
    ("memory-ddr5", "ddr"): 16 * 64 * GIB,
    ("memory-lpddr5x", "lpddr"): 16 * 32 * GIB,
    ("memory-gddr7", "gddr"): 16 * 2 * GIB,
    ("memory-flash", "flash"): 4_096 * 10**9,
    ("memory-flash", "ddr"): 4 * 64 * GIB,
    ("pnm-hbm4", "hbm"): 8 * 48 * GIB,
    ("rubin", "hbm"): 8 * 36 * GIB,
    ("tpu7x", "hbm"): 192 * GIB,
    ("hbf-gen1", "hbf"): 16 * (256 * GIB // 8),
    ("hbf-gen1", "ddr"): 4 * 64 * GIB,
    **{(f"ocp-hbf-grade{grade}", "hbf"): 512 * GIB for grade in (1, 2, 3)},
    **{(f"ocp-hbf-grade{grade}", "ddr"): 4 * 64 * GIB for grade in (1, 2, 3)},
    ("pnm-cxl", "lpddr"): 512 * GIB,
    ("host-cpu", "ddr"): 16 * 64 * GIB,
}

# huggingface.co/Qwen/Qwen3-30B-A3B, config.json; its context is stretched to 131,072 by YaRN.
QWEN3_30B = ModelConfig(
    architecture="Qwen3MoeForCausalLM",
    dtype="bfloat16",
    hidden=2048,
    num_layers=48,
    num_heads=32,
    num_kv_heads=4,
    head_dim=128,
    num_experts=128,
    top_k=8,
    moe_intermediate=768,
    vocab=151_936,
    rope_theta=1_000_000.0,
    rms_eps=1e-6,
    norm_topk_prob=True,
    tie_embeddings=False,
    max_context=131_072,
)
ONE_H100 = {
    "cluster.nodes.chip.device": "h100-sxm",
    "model.dtype": "bf16",
    "model.max_num_batched_tokens": 2_048,
    "model.max_model_len": 131_072,
    "model.num_kv_blocks": None,
}


def plan(**changes: object) -> Plan:
    overrides = {**ONE_H100, **{f"model.{key}": value for key, value in changes.items()}}
    return make_plan(load_scenario("single", overrides), QWEN3_30B)


def test_every_capacity_is_what_its_source_says() -> None:
    """GiB where memory is made of powers of two, whatever its name says."""
    found = {
        (name, tier): spec.capacity_bytes
        for name in preset_names("device")
        for tier, spec in load_device(name).tiers.items()
    }
    assert found == CAPACITIES


@pytest.mark.parametrize("path", sorted(KINDS["device"].glob("*.yaml")), ids=lambda path: path.stem)
def test_a_capacity_has_its_source_beside_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if re.match(r" +capacity:", line):
            assert "#" in line or before.strip().startswith("#"), line


def test_a_context_of_131072_tokens_of_qwen3_30b_fits_one_h100() -> None:
    """90 % of 85.52e9 B are 76.97e9. Weights in bf16: 61.09e9. A step of 2,048 tokens and 256
    sequences: 2,048 x (2 x 2,048 + 2 x (4,096 + 512)) x 2 B and 256 x 151,936 x 4 B of logits, 210
    MB; of its experts 2,048 x 8 x 2 x (2,048 + 768) x 2 B, 185 MB. The other 15.48e9 are 9,844
    blocks of 16 tokens of 98,304 B.
    """
    made = plan()
    (chip,) = (worker for worker in made.workers if isinstance(worker, ChipPlan))
    fills = {fill.what: fill.num_bytes for fill in made.node(chip.node).fills["hbm"]}
    weights = fills["weights"] + fills["experts"]
    assert weights == Precision("bf16", "bf16").total_bytes(QWEN3_30B)
    assert weights == pytest.approx(61.09e9, rel=1e-3)
    assert fills["activations"] == 2_048 * 13_312 * 2 + 256 * 151_936 * 4 + 2_048 * 8 * 5_632 * 2
    assert made.kv_block_bytes == 16 * 98_304
    room = int(0.9 * 81_559 * MIB) - weights - fills["activations"]
    assert chip.num_kv_blocks == room // made.kv_block_bytes
    assert chip.num_kv_blocks == 9_844 and chip.num_kv_blocks * 16 >= 131_072


def test_what_activations_need_can_be_stated() -> None:
    """For the chip and for the shard: 1.4 GB each leave 13.1e9 B, 133,xxx tokens; 2 GB too few."""
    made = plan(activation_memory="1.4 GB")
    assert Fill("activations", 2_800_000_000) in made.node("chip-0").fills["hbm"]
    with pytest.raises(ScenarioError, match="less than one sequence of 131072 tokens"):
        plan(activation_memory="2 GB")
    with pytest.raises(ScenarioError, match="18 GB of activations do not fit tier hbm of h100-sxm"):
        plan(activation_memory="9 GB")


def test_activations_are_of_a_step_and_not_of_a_context() -> None:
    """They grow with its tokens and its sequences, and are half as large in half as many bits."""
    bf16, fp32 = Precision("bf16", "bf16"), Precision()
    one, many = (chip_activation_bytes(QWEN3_30B, bf16, n, 0) for n in (1, 4_096))
    assert many == 4_096 * one == chip_activation_bytes(QWEN3_30B, fp32, 4_096, 0) // 2
    logits = chip_activation_bytes(QWEN3_30B, bf16, 0, 10)
    assert logits == 10 * 151_936 * 4
    few = shard_activation_bytes(QWEN3_30B, bf16, 100, 2)
    assert few == shard_activation_bytes(QWEN3_30B, bf16, 100, 128) // 4, "2 of 8 are here"
    dense = replace(QWEN3_30B, dense_layers=1, dense_intermediate=20_000)
    assert chip_activation_bytes(dense, bf16, 1, 0) == (4_096 + 40_000) * 2


def test_too_little_room_for_one_sequence() -> None:
    room = TINY.chip_bytes(4) + 10 * 16 * TINY.kv_bytes_per_token(4)
    found = problems(
        {
            "model.num_kv_blocks": None,
            "model.activation_memory": "0 B",
            "cluster.nodes.decode.device.tiers.hbm.capacity": f"{room} B",
            "model.gpu_memory_utilization": 1.0,
        }
    )
    assert len(found) == 1, found
    assert "room for 10 KV blocks, less than one sequence of 1024 tokens" in found[0]

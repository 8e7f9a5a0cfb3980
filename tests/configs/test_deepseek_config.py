"""DeepSeek's config.json is read whole or refused with its key."""

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from configs.attention import Mla
from configs.checkpoint_files import CheckpointError
from configs.families import load_model
from configs.gate import Gate
from configs.model_config import ModelConfig
from configs.rope import Yarn
from tests.workers.model.models import DEEPSEEK_V2, DEEPSEEK_V3, write_config
from workers.model.tensors import chip_shapes, expert_shapes, layer_shapes, tensor_shapes

YARN = DEEPSEEK_V3["rope_scaling"]


def test_reads_every_size(tmp_path: Path) -> None:
    assert load_model(write_config(tmp_path, DEEPSEEK_V3)) == ModelConfig(
        architecture="DeepseekV3ForCausalLM",
        dtype="float32",
        hidden=32,
        num_layers=3,
        num_heads=4,
        num_kv_heads=4,
        head_dim=12,
        num_experts=8,
        top_k=3,
        moe_intermediate=24,
        vocab=61,
        rope_theta=10_000.0,
        rms_eps=1e-6,
        norm_topk_prob=True,
        tie_embeddings=False,
        max_context=256,
        gate=Gate("sigmoid", 4, 2, group_best=2, scaling=2.5),
        mla=Mla(32, 4, 20, 16, 8, 4, 12, interleaved=True),
        yarn=Yarn(4.0, 64, 32.0, 1.0, 1.0, 1.0),
        dense_layers=1,
        dense_intermediate=44,
        shared_intermediate=24,
    )


def test_what_v2_leaves_out(tmp_path: Path) -> None:
    """No groups in a greedy choice, no shared experts, queries in one step."""
    config = load_model(write_config(tmp_path, DEEPSEEK_V2, first_k_dense_replace=0))
    assert config.gate == Gate("softmax", scaling=2.5)
    assert config.mla == Mla(32, 4, None, 16, 8, 4, 12)
    assert (config.yarn, config.shared_intermediate, config.dense_intermediate) == (None, 0, 0)
    limited = {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2}
    config = load_model(write_config(tmp_path, DEEPSEEK_V2, **limited))
    assert config.gate == Gate("softmax", 4, 2, group_best=1, scaling=2.5)


@pytest.mark.parametrize("sizes", [DEEPSEEK_V2, DEEPSEEK_V3])
@pytest.mark.parametrize("tied", [False, True])
def test_byte_counts_are_those_of_the_tensors(
    tmp_path: Path, sizes: dict[str, Any], tied: bool
) -> None:
    config = load_model(write_config(tmp_path, sizes, tie_word_embeddings=tied))

    def numbers(shapes: Any) -> int:
        return sum(prod(shape) for _, shape in shapes)

    assert config.total_bytes(2) == 2 * numbers(tensor_shapes(config))
    assert config.chip_bytes(4) == 4 * numbers(chip_shapes(config))
    assert config.expert_bytes(4) == 4 * numbers(expert_shapes(config, 1, 0))
    assert config.shard_bytes(3, 4) == 3 * 2 * config.expert_bytes(4)
    assert config.kv_bytes_per_token(4) == 3 * (16 + 4) * 4
    for layer in range(3):
        assert config.layer_bytes(layer, 1) == numbers(layer_shapes(config, layer))


@pytest.mark.parametrize("name", ["rope_scaling", "rope_parameters"])
def test_rope_in_both_spellings(tmp_path: Path, name: str) -> None:
    """Published folders say "type" and have the base outside; transformers 5 has all inside."""
    spelled = {k: v for k, v in YARN.items() if k != "type"} | {"rope_type": "yarn"}
    inside = spelled | {"rope_theta": 5e4}
    new = {"rope_scaling": ..., "rope_theta": ..., "rope_parameters": inside}
    changes = {"rope_theta": 5e4} if name == "rope_scaling" else new
    config = load_model(write_config(tmp_path, DEEPSEEK_V3, **changes))
    assert config.rope_theta == 5e4
    assert config.yarn == Yarn(4.0, 64, 32.0, 1.0, 1.0, 1.0)
    plain = {"rope_type": "default", "rope_theta": 7.0}
    changes = {"rope_scaling": ..., "rope_theta": ..., "rope_parameters": plain}
    config = load_model(write_config(tmp_path, DEEPSEEK_V3, **changes))
    assert (config.rope_theta, config.yarn) == (7.0, None)


def test_yarns_defaults(tmp_path: Path) -> None:
    """Temperature 0.1 ln(factor) + 1 on what is rotated alone, unless DeepSeek's constants say
    otherwise; a `mscale` of 1 without the other says nothing.
    """
    for scaling in ({"type": "yarn", "factor": 8}, {"type": "yarn", "factor": 8, "mscale": 1}):
        config = load_model(write_config(tmp_path, DEEPSEEK_V3, rope_scaling=scaling))
        assert config.yarn == Yarn(8.0, 256)
        assert config.yarn.rotated_scale == pytest.approx(1.2079442)
        assert config.yarn.score_scale == 1.0
    both = Yarn(8.0, 256, mscale=0.5, mscale_all_dim=1.0)
    assert both.rotated_scale == pytest.approx(1.1039721 / 1.2079442)
    assert both.score_scale == pytest.approx(1.2079442**2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"q_lora_rank": ...}, ["q_lora_rank is missing", "null"]),
        ({"q_lora_rank": 0}, ["q_lora_rank", "0", ">= 1"]),
        ({"kv_lora_rank": None}, ["kv_lora_rank", "None", ">= 1"]),
        ({"qk_rope_head_dim": 5}, ["qk_rope_head_dim", "5", "even"]),
        ({"num_key_value_heads": 2}, ["num_key_value_heads", "2", "num_attention_heads, 4"]),
        ({"attention_bias": True}, ["attention_bias", "false"]),
        ({"n_shared_experts": ...}, ["n_shared_experts is missing", ">= 0"]),
        ({"n_shared_experts": -1}, ["n_shared_experts", "-1", ">= 0"]),
        ({"first_k_dense_replace": ...}, ["first_k_dense_replace is missing", ">= 0"]),
        ({"first_k_dense_replace": 3}, ["first_k_dense_replace", "3", "less than"]),
        ({"intermediate_size": ...}, ["intermediate_size is missing"]),
        ({"moe_layer_freq": 2}, ["moe_layer_freq", "2", "it must be 1"]),
        ({"n_group": 3}, ["n_group", "3", "divide n_routed_experts, 8"]),
        ({"n_group": 8}, ["n_group", "8", "at least 2"]),
        ({"n_group": None}, ["n_group", "None", ">= 1"]),
        ({"topk_group": 5}, ["topk_group", "5", "at most n_group, 4"]),
        ({"num_experts_per_tok": 5}, ["num_experts_per_tok", "5", "choose from, 4"]),
        ({"scoring_func": "softmax"}, ["scoring_func", "softmax", "sigmoid"]),
        ({"topk_method": "greedy"}, ["topk_method", "greedy", "noaux_tc"]),
        ({"norm_topk_prob": ...}, ["norm_topk_prob is missing", "true or false"]),
        ({"routed_scaling_factor": ...}, ["routed_scaling_factor is missing", "above 0"]),
        ({"routed_scaling_factor": -1}, ["routed_scaling_factor", "-1", "above 0"]),
        ({"rope_interleave": "yes"}, ["rope_interleave", "yes", "true or false"]),
        ({"quantization_config": {"quant_method": "awq"}}, ["quant_method is 'awq'", "fp8"]),
        ({"rope_scaling": "yarn"}, ["rope_scaling", "yarn", "object"]),
        ({"rope_parameters": YARN}, ["rope_scaling is", "absent beside rope_parameters"]),
        ({"rope_scaling": {"type": "linear"}}, ["rope_scaling.type", "linear", "yarn"]),
        ({"rope_scaling": {"type": "yarn"}}, ["rope_scaling.factor is missing"]),
        ({"rope_scaling": YARN | {"factor": 0.5}}, ["rope_scaling.factor", "0.5", "at least 1"]),
        ({"rope_scaling": YARN | {"truncate": False}}, ["rope_scaling.truncate", "absent"]),
        ({"rope_scaling": YARN | {"mscale": None}}, ["rope_scaling.mscale_all_dim", "mscale must"]),
        ({"rope_scaling": YARN | {"mscale_all_dim": 0, "mscale": 0.7}}, ["mscale", "0.7", "there"]),
        ({"rope_scaling": YARN | {"mscale": "a"}}, ["rope_scaling.mscale", "'a'", "above 0"]),
        ({"rope_scaling": YARN | {"beta_fast": 0.5}}, ["rope_scaling.beta_fast", "beta_slow"]),
    ],
)
def test_refuses_with_file_key_and_what_would_be_right(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    folder = write_config(tmp_path, DEEPSEEK_V3, **changes)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    for word in (str(folder / "config.json"), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm_topk_prob": True}, ["norm_topk_prob", "True", "false"]),
        ({"mlp_bias": True}, ["mlp_bias", "false"]),
        ({"topk_method": "noaux_tc"}, ["topk_method", "noaux_tc", "group_limited_greedy"]),
        ({"scoring_func": "sigmoid"}, ["scoring_func", "sigmoid", "softmax"]),
        ({"topk_method": "group_limited_greedy"}, ["n_group", "None", ">= 1"]),
        ({"num_experts_per_tok": 9}, ["num_experts_per_tok", "9", "choose from, 8"]),
    ],
)
def test_what_v2_refuses(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    folder = write_config(tmp_path, DEEPSEEK_V2, **changes)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    for word in (str(folder / "config.json"), *words):
        assert word in str(caught.value)


PUBLISHED_YARN = {"beta_fast": 32, "beta_slow": 1, "factor": 40, "type": "yarn"}
PUBLISHED: dict[str, tuple[dict[str, Any], float, int]] = {
    # The keys of deepseek-ai's folders as published (V3's without the fp8 quantization), billions
    # of weights as in the model's card, and numbers in a token's KV: (512 + 64) a layer.
    "V2-Lite": (
        {
            "architectures": ["DeepseekV2ForCausalLM"],
            "aux_loss_alpha": 0.001,
            "first_k_dense_replace": 1,
            "hidden_size": 2048,
            "intermediate_size": 10944,
            "max_position_embeddings": 163840,
            "moe_intermediate_size": 1408,
            "n_group": 1,
            "n_routed_experts": 64,
            "n_shared_experts": 2,
            "norm_topk_prob": False,
            "num_attention_heads": 16,
            "num_experts_per_tok": 6,
            "num_hidden_layers": 27,
            "num_key_value_heads": 16,
            "q_lora_rank": None,
            "rope_scaling": PUBLISHED_YARN | {"mscale": 0.707, "mscale_all_dim": 0.707},
            "routed_scaling_factor": 1.0,
            "scoring_func": "softmax",
            "topk_group": 1,
            "topk_method": "greedy",
            "vocab_size": 102400,
        },
        15.7,
        27 * 576,
    ),
    "V2": (
        {
            "architectures": ["DeepseekV2ForCausalLM"],
            "first_k_dense_replace": 1,
            "hidden_size": 5120,
            "intermediate_size": 12288,
            "max_position_embeddings": 163840,
            "moe_intermediate_size": 1536,
            "n_group": 8,
            "n_routed_experts": 160,
            "n_shared_experts": 2,
            "norm_topk_prob": False,
            "num_attention_heads": 128,
            "num_experts_per_tok": 6,
            "num_hidden_layers": 60,
            "num_key_value_heads": 128,
            "q_lora_rank": 1536,
            "rope_scaling": PUBLISHED_YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
            "routed_scaling_factor": 16.0,
            "scoring_func": "softmax",
            "topk_group": 3,
            "topk_method": "group_limited_greedy",
            "vocab_size": 102400,
        },
        235.7,
        60 * 576,
    ),
    "V3": (
        {
            "architectures": ["DeepseekV3ForCausalLM"],
            "first_k_dense_replace": 3,
            "hidden_size": 7168,
            "intermediate_size": 18432,
            "max_position_embeddings": 163840,
            "moe_intermediate_size": 2048,
            "n_group": 8,
            "n_routed_experts": 256,
            "n_shared_experts": 1,
            "norm_topk_prob": True,
            "num_attention_heads": 128,
            "num_experts_per_tok": 8,
            "num_hidden_layers": 61,
            "num_key_value_heads": 128,
            "num_nextn_predict_layers": 1,
            "q_lora_rank": 1536,
            "rope_scaling": PUBLISHED_YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
            "routed_scaling_factor": 2.5,
            "scoring_func": "sigmoid",
            "topk_group": 4,
            "topk_method": "noaux_tc",
            "vocab_size": 129280,
        },
        671.0,
        61 * 576,
    ),
}
SHARED_KEYS = {
    "attention_bias": False,
    "hidden_act": "silu",
    "kv_lora_rank": 512,
    "moe_layer_freq": 1,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "v_head_dim": 128,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_reads_published_configurations(tmp_path: Path, name: str) -> None:
    values, billions, kv = PUBLISHED[name]
    (tmp_path / "config.json").write_text(json.dumps(SHARED_KEYS | values), encoding="utf-8")
    config = load_model(tmp_path)
    assert round(config.total_bytes(1) / 1e9, 1) == billions
    assert config.kv_bytes_per_token(1) == kv

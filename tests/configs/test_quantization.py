"""Settings of quantised weights: fp8 in its published forms, and all else refused by its name."""

import json
from pathlib import Path
from typing import Any

import pytest

from configs.checkpoint_files import CheckpointError
from configs.families import load_model
from configs.fp8 import Fp8
from tests.configs.published import FP8, QWEN3_30B, V3
from tests.configs.test_published import read

# As llm-compressor and ModelOpt write them.
WEIGHTS: dict[str, Any] = {
    "actorder": None,
    "block_structure": None,
    "dynamic": False,
    "group_size": None,
    "num_bits": 8,
    "observer": "minmax",
    "observer_kwargs": {},
    "strategy": "channel",
    "symmetric": True,
    "type": "float",
}
GROUP: dict[str, Any] = {
    "input_activations": WEIGHTS | {"dynamic": True, "strategy": "token"},
    "output_activations": None,
    "targets": ["Linear"],
    "weights": WEIGHTS,
}
COMPRESSED: dict[str, Any] = {
    "config_groups": {"group_0": GROUP},
    "format": "float-quantized",
    "global_compression_ratio": None,
    "ignore": ["lm_head", "re:.*mlp.gate$"],
    "kv_cache_scheme": None,
    "quant_method": "compressed-tensors",
    "quantization_status": "compressed",
}
MODELOPT: dict[str, Any] = {
    "config_groups": {"group_0": {"weights": {"dynamic": False, "num_bits": 8, "type": "float"}}},
    "ignore": ["lm_head"],
    "producer": {"name": "modelopt", "version": "0.37.0"},
    "quant_algo": "FP8",
    "quant_method": "modelopt",
}


def weights(**changes: Any) -> dict[str, Any]:
    """compressed-tensors' settings with those of the weights changed."""
    return COMPRESSED | {"config_groups": {"group_0": GROUP | {"weights": WEIGHTS | changes}}}


PER_TENSOR = Fp8("tensor", scales=("weight_scale",))
BOTH = ("weight_scale", "weight_scale_inv")
READ: dict[str, tuple[dict[str, Any], Fp8]] = {
    "DeepSeek": (FP8, Fp8("block", 128, 128)),
    "other blocks": (FP8 | {"weight_block_size": [1, 32]}, Fp8("block", 1, 32)),
    "a scale a projection": (FP8 | {"weight_block_size": None}, Fp8("tensor", scales=BOTH)),
    "static": (
        {"quant_method": "fp8", "activation_scheme": "static"},
        Fp8("tensor", scales=BOTH),
    ),
    "compressed, rows": (COMPRESSED, Fp8("row", scales=("weight_scale",))),
    "compressed, tensors": (weights(strategy="tensor"), PER_TENSOR),
    "compressed, blocks": (
        weights(strategy="block", block_structure=[128, 128]),
        Fp8("block", 128, 128, ("weight_scale",)),
    ),
    "ModelOpt": (MODELOPT, PER_TENSOR),
    "ModelOpt without a method": (
        {key: value for key, value in MODELOPT.items() if key != "quant_method"},
        PER_TENSOR,
    ),
}


@pytest.mark.parametrize("name", READ)
def test_fp8_in_its_published_forms(tmp_path: Path, name: str) -> None:
    settings, fp8 = READ[name]
    assert read(tmp_path, QWEN3_30B, quantization_config=settings).fp8 == fp8


REFUSED: dict[str, tuple[Any, list[str]]] = {
    "mxfp4": ({"quant_method": "mxfp4"}, ["quant_method is 'mxfp4'", "fp8"]),
    "awq": ({"quant_method": "awq", "bits": 4}, ["quant_method is 'awq'"]),
    "gptq": ({"quant_method": "gptq", "bits": 8}, ["quant_method is 'gptq'"]),
    "NVFP4": (MODELOPT | {"quant_algo": "NVFP4"}, ["quant_algo is 'NVFP4'", "FP8"]),
    "mixed": (
        FP8 | {"quant_algo": "MIXED_PRECISION"},
        ["quant_algo is 'MIXED_PRECISION'"],
    ),
    "KV in fp8": (
        MODELOPT | {"kv_cache_scheme": {"num_bits": 8, "type": "float"}},
        ["kv_cache_scheme", "model.kv_cache_dtype"],
    ),
    "fp4 experts": (FP8 | {"expert_dtype": "fp4"}, ["expert_dtype is 'fp4'"]),
    "other fp8": (FP8 | {"fmt": "e5m2"}, ["fmt is 'e5m2'", "e4m3"]),
    "a block of one number": (FP8 | {"weight_block_size": [128]}, ["weight_block_size is [128]"]),
    "an empty block": (FP8 | {"weight_block_size": [0, 128]}, ["weight_block_size is [0, 128]"]),
    "a fractional block": (
        FP8 | {"weight_block_size": [1.5, 8]},
        ["weight_block_size is [1.5, 8]"],
    ),
    "embeddings": (FP8 | {"modules_to_convert": ["embed"]}, ["modules_to_convert"]),
    "no list": (FP8 | {"modules_to_not_convert": "lm_head"}, ["modules_to_not_convert", "list"]),
    "a layer apart": (
        FP8 | {"modules_to_not_convert": ["model.layers.3.self_attn.q_proj"]},
        ["self_attn.q_proj in some layers only"],
    ),
    "an expert apart": (
        FP8 | {"ignored_layers": ["model.layers.3.mlp.experts.7.up_proj"]},
        ["experts.7", "experts must be alike"],
    ),
    "a slow pattern": (
        COMPRESSED | {"ignore": ["re:(a+)+$"]},
        ["re:(a+)+$", "alternatives"],
    ),
    "no pattern": (COMPRESSED | {"ignore": ["re:(a"]}, ["re:(a", "no pattern"]),
    "int8": (weights(type="int"), ["group_0.weights.type is 'int'", "fp8"]),
    "four bits": (weights(num_bits=4), ["group_0.weights.num_bits is 4", "8"]),
    "groups": (weights(strategy="group", group_size=128), ["strategy is 'group'", "channel"]),
    "asymmetric": (weights(symmetric=False), ["symmetric is False"]),
    "two groups": (
        COMPRESSED | {"config_groups": {"a": GROUP, "b": GROUP}},
        ["config_groups", "one group"],
    ),
    "rotated weights": (
        COMPRESSED | {"transform_config": {"config_groups": {"u": {}}}},
        ["transform_config"],
    ),
    "sparse weights": (
        COMPRESSED | {"sparsity_config": {"format": "sparse-24-bitmask"}},
        ["sparsity_config"],
    ),
    "packed": (COMPRESSED | {"format": "pack-quantized"}, ["format is 'pack-quantized'"]),
    "no object": ("fp8", ["quantization_config is 'fp8'", "object"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_fp8_is_refused_by_name(tmp_path: Path, name: str) -> None:
    settings, words = REFUSED[name]
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, QWEN3_30B, quantization_config=settings)
    text = str(caught.value)
    assert "\n" not in text
    for word in (str(tmp_path / "config.json"), *words):
        assert word in text


@pytest.mark.parametrize(
    ("entries", "wide"),
    [
        (["lm_head", "mlp.gate", "model.embed_tokens"], set()),
        (["kv_b_proj"], {"self_attn.kv_b_proj"}),
        (["*.self_attn.o_proj", "model.layers.61*"], {"self_attn.o_proj"}),
        (["*shared_experts*"], {f"mlp.shared_experts.{n}_proj" for n in ("gate", "up", "down")}),
        ([r"re:.*experts\.\d+\.up_proj$"], {"mlp.experts.up_proj"}),
        (
            [r"re:.*self_attn.(q|kv)_a_proj.*"],
            {"self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa"},
        ),
        # A gate of the router, and no gate_proj.
        (["gate", r"re:.*mlp.gate$"], set()),
    ],
)
def test_what_is_kept_wide(tmp_path: Path, entries: list[str], wide: set[str]) -> None:
    settings = FP8 | {"modules_to_not_convert": entries}
    config = read(tmp_path, V3, quantization_config=settings)
    assert config.fp8 is not None
    assert config.fp8.wide == wide


def beside(folder: Path, **settings: Any) -> Path:
    """ModelOpt's own file."""
    values = {"producer": {"name": "modelopt"}, "quantization": settings}
    folder.mkdir(exist_ok=True)
    (folder / "hf_quant_config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_modelopts_own_file_is_seen(tmp_path: Path) -> None:
    read(tmp_path, QWEN3_30B)
    beside(tmp_path, quant_algo="FP8", kv_cache_quant_algo=None, exclude_modules=["lm_head"])
    assert load_model(tmp_path).fp8 == PER_TENSOR
    for algorithm in ("NVFP4", "W4A8_AWQ", "MIXED_PRECISION", None):
        beside(tmp_path, quant_algo=algorithm)
        with pytest.raises(CheckpointError, match=r"hf_quant_config.*quantization\.quant_algo is"):
            load_model(tmp_path)
    beside(tmp_path, quant_algo="FP8", kv_cache_quant_algo="FP8")
    with pytest.raises(CheckpointError, match=r"kv_cache_quant_algo is 'FP8'; it must be null"):
        load_model(tmp_path)
    (tmp_path / "hf_quant_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"hf_quant_config\.json: quantization is missing"):
        load_model(tmp_path)


def test_both_files_say_the_same(tmp_path: Path) -> None:
    beside(tmp_path, quant_algo="FP8")
    assert read(tmp_path, QWEN3_30B, quantization_config=MODELOPT).fp8 == PER_TENSOR
    with pytest.raises(CheckpointError, match=r"hf_quant_config\.json disagrees"):
        read(tmp_path, QWEN3_30B, quantization_config=FP8)

"""What a folder says of quantised weights: fp8 is read, all else is refused by its name.

    config.json           quantization_config   "fp8" (DeepSeek, Qwen, Kimi), "compressed-tensors",
                                                "modelopt"
    hf_quant_config.json  quantization          ModelOpt's own file; config.json may not mention it

Activations and KV are computed in the scenario's numbers whatever the settings say of theirs, so
settings of activations are let pass (`docs/limits.md`) and those of KV are refused.
"""

import re
from dataclasses import replace

from configs.checkpoint_files import CheckpointError, read_json
from configs.families.keys import Keys
from configs.families.skipped import UnclearSkip, skipped
from configs.families.unknown import asks_for_nothing, is_off
from configs.fp8 import Fp8
from configs.model_config import ModelConfig
from configs.outside import shown

QUANT_FILE = "hf_quant_config.json"
_BLOCK_MOST = 1 << 16
_ANY = ("quant_method", "producer", "activation_scheme", "version", "quantization_status")
_KV = ("kv_cache_scheme", "kv_cache_quant_algo", "kv_cache_quant_method")
_BOTH_SCALES = ("weight_scale", "weight_scale_inv")
# As writers of folders with full weights would not call one.
NAMED = re.compile(r"(?i)[-.](nvfp4|mxfp[468]|fp[48]|int[48]|w[48]a(?:4|8|16)|awq|gptq|bnb|gguf)\b")


def read_quantization(keys: Keys, config: ModelConfig, has_weights: bool) -> Fp8 | None:
    """How matrices are stored; None where it is in the folder's dtype.

    Raises CheckpointError on whatever is no fp8 of these kinds.
    """
    found = []
    inside = keys.inside("quantization_config")
    if inside is not None:
        found.append(_read(inside, config))
    beside = _beside(keys)
    if beside is not None:
        found.append(_modelopt(beside, config))
    if len(found) == 2 and found[0] != found[1]:
        raise keys.error(
            "quantization_config", keys.values["quantization_config"], f"{QUANT_FILE} disagrees"
        )
    if not found and not has_weights:
        _check_name(keys)
    return found[0] if found else None


def _beside(keys: Keys) -> Keys | None:
    path = keys.path.with_name(QUANT_FILE)
    if not path.exists():
        return None
    values = Keys(path, read_json(path))
    inside = values.inside("quantization")
    if inside is None:
        raise values.missing("quantization", "it must be an object with quant_algo")
    return inside


def _check_name(keys: Keys) -> None:
    """ModelOpt's settings stand in a file that is easily left behind; without weights nothing else
    would tell 4 bits from 16.
    """
    name = keys.path.parent.name if keys.path.name == "config.json" else keys.path.stem
    found = NAMED.search(name)
    if found is not None:
        raise CheckpointError(
            f"{keys.path}: is called {shown(name)}, and neither quantization_config nor "
            f"{QUANT_FILE} says how {found[1]} is stored: one of them must be there, or the weights"
        )


def _read(keys: Keys, config: ModelConfig) -> Fp8:
    method = keys.values.get("quant_method")
    if method == "fp8" and "quant_algo" not in keys.values:
        return _blocks(keys, config)
    if method == "compressed-tensors":
        return _compressed(keys, config)
    if method == "modelopt" or (method in (None, "fp8") and "quant_algo" in keys.values):
        return _modelopt(keys, config)
    right = 'weights are read as "fp8", "compressed-tensors" of fp8, or "modelopt" of FP8'
    raise keys.error("quant_method", method, right)


def _blocks(keys: Keys, config: ModelConfig) -> Fp8:
    """DeepSeek's, which transformers and vLLM call "fp8"."""
    keys.one_of("fmt", "e4m3", "float8_e4m3fn", "float8_e4m3")
    keys.one_of("activation_scheme", "dynamic", "static")
    keys.one_of("scale_fmt", "float", "ue8m0")
    keys.one_of("expert_dtype", "fp8")
    names = ("modules_to_not_convert", "ignored_layers")
    known = ("fmt", "scale_fmt", "expert_dtype", "weight_block_size", "dequantize", *names)
    _check(keys, *known)
    size = keys.values.get("weight_block_size")
    if size is None:
        return _without(keys, config, Fp8("tensor", scales=_BOTH_SCALES), *names)
    return _without(keys, config, _block(keys, "weight_block_size", "weight_scale_inv"), *names)


def _compressed(keys: Keys, config: ModelConfig) -> Fp8:
    """compressed-tensors' float-quantized, with one group of settings for all projections."""
    keys.one_of("format", "float-quantized", "naive-quantized")
    keys.one_of("quantization_status", "compressed", "frozen")
    _check(keys, "format", "config_groups", "ignore", "global_compression_ratio")
    weights = _only_group(keys).inside("weights")
    if weights is None:
        raise keys.error("config_groups", keys.values["config_groups"], "weights must be there")
    _eight_bits(weights)
    strategy = weights.values.get("strategy")
    scales = ("weight_scale",)
    kinds = {"tensor": Fp8("tensor", scales=scales), "channel": Fp8("row", scales=scales)}
    if strategy == "block":
        kinds["block"] = _block(weights, "block_structure", *scales)
    if not isinstance(strategy, str) or strategy not in kinds:
        raise weights.error("strategy", strategy, 'it must be "tensor", "channel" or "block"')
    return _without(keys, config, kinds[strategy], "ignore")


def _modelopt(keys: Keys, config: ModelConfig) -> Fp8:
    """ModelOpt's FP8: a scale for each projection."""
    if keys.values.get("quant_algo") != "FP8":
        right = 'of ModelOpt\'s only "FP8" is read: a byte a weight, a scale a projection'
        raise keys.error("quant_algo", keys.values.get("quant_algo"), right)
    names = ("ignore", "exclude_modules")
    _check(keys, "quant_algo", "config_groups", *names)
    if not is_off(keys.values.get("config_groups")):
        weights = _only_group(keys).inside("weights")
        if weights is not None:
            _eight_bits(weights)
    return _without(keys, config, Fp8("tensor", scales=("weight_scale",)), *names)


def _only_group(keys: Keys) -> Keys:
    groups = keys.inside("config_groups")
    if groups is None or len(groups.values) != 1:
        found = keys.values.get("config_groups")
        raise keys.error("config_groups", found, "it must have one group, for all projections")
    group = groups.inside(next(iter(groups.values)))
    if group is None:
        raise keys.error("config_groups", groups.values, "its group must be an object")
    targets = group.values.get("targets")
    if targets not in (None, ["Linear"]):
        raise group.error("targets", targets, 'it must be ["Linear"]')
    if not is_off(group.values.get("output_activations")):
        raise group.error("output_activations", group.values["output_activations"], "not computed")
    return group


def _eight_bits(weights: Keys) -> None:
    for name, right in (("num_bits", 8), ("type", "float")):
        if weights.values.get(name) != right:
            raise weights.error(name, weights.values.get(name), f"it must be {right}: fp8 is read")
    for name, right in (("symmetric", True), ("dynamic", False)):
        weights.one_of(name, right)


def _block(keys: Keys, name: str, *scales: str) -> Fp8:
    size = keys.values.get(name)
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(type(n) is int and 1 <= n <= _BLOCK_MOST for n in size)
    ):
        raise keys.error(name, size, "it must be rows and columns of a block, e.g. [128, 128]")
    return Fp8("block", size[0], size[1], scales)


def _without(keys: Keys, config: ModelConfig, fp8: Fp8, *names: str) -> Fp8:
    """With the projections that the lists under these names keep wide."""
    for name in names:
        entries = keys.values.get(name)
        if is_off(entries):
            continue
        if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
            raise keys.error(name, entries, "it must be a list of modules' names")
        try:
            fp8 = replace(fp8, wide=fp8.wide | skipped(config, entries))
        except UnclearSkip as error:
            raise keys.error(name, entries, f"it {error}") from error
    return fp8


def _check(keys: Keys, *known: str) -> None:
    """Nothing else is asked for, and KV is left alone."""
    for name in _KV:
        if not is_off(keys.values.get(name)):
            right = "it must be null: KV is kept in the numbers of model.kv_cache_dtype"
            raise keys.error(name, keys.values[name], right)
    for name, value in keys.values.items():
        if name not in _ANY and name not in known and not asks_for_nothing(name, value):
            raise keys.error(name, value, "it is not known of fp8 weights: it must be absent")

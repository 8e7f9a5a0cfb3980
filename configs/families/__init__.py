"""The model families that are known, and which of them a config.json belongs to."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from configs.checkpoint_files import JSON_BYTES_MAX, CheckpointError, has_weights, read_json
from configs.families import deepseek, qwen3_moe
from configs.families.keys import Keys
from configs.families.quantization import read_quantization
from configs.families.unknown import refuse_unknown
from configs.model_config import ModelConfig
from configs.model_presets import ModelPreset, is_model_name, model_preset
from configs.outside import Unreadable, read_text


@dataclass(frozen=True, slots=True)
class Family:
    """read    from keys to sizes            known   all keys that it takes or knows to be harmless
    types   `model_type` of its files
    """

    read: Callable[[Keys], ModelConfig]
    known: frozenset[str]
    types: tuple[str, ...]


FAMILIES = {
    "Qwen3MoeForCausalLM": Family(qwen3_moe.read, qwen3_moe.KNOWN, ("qwen3_moe",)),
    "DeepseekV2ForCausalLM": Family(deepseek.read_v2, deepseek.KNOWN, ("deepseek_v2",)),
    # Kimi-K2 is a DeepSeek-V3 of other sizes.
    "DeepseekV3ForCausalLM": Family(deepseek.read_v3, deepseek.KNOWN, ("deepseek_v3", "kimi_k2")),
}

_KNOWN = f"no other family is computed than {', '.join(FAMILIES)}"


def load_model(folder: str | Path) -> ModelConfig:
    """Read config.json, and generation_config.json and hf_quant_config.json where they are there.

    folder   may also be a config.json itself, under whatever name ending in .json, or the name of a
             shipped description (`configs/models/`), which has no weights

    Raises CheckpointError on a missing or malformed file, an unknown architecture, a feature that
    is not computed, or sizes that fit no model.
    """
    given = Path(folder)
    if is_model_name(given):
        return _described(model_preset(str(given)))
    path = given if given.suffix.lower() == ".json" and given.is_file() else given / "config.json"
    try:
        values = read_json(path)
    except CheckpointError:
        # Of two faults the one that no change of the file mends is told.
        if (found := _glimpse(path)) is not None and found not in FAMILIES:
            raise Keys(path, {}).error("architectures", [found], _KNOWN) from None
        raise
    return read_model(path, values)


def read_model(path: Path, values: dict[str, Any]) -> ModelConfig:
    """The same of what a file holds; errors say that it stands at `path`."""
    keys = Keys(path, values)
    found = values.get("architectures")
    name = found[0] if isinstance(found, list) and len(found) == 1 else None
    if not isinstance(name, str) or name not in FAMILIES:
        raise keys.error("architectures", found, _KNOWN)
    family = FAMILIES[name]
    keys.one_of("model_type", *family.types)
    keys.refuse_everywhere()
    config = family.read(keys)
    refuse_unknown(keys, family.known)
    return replace(config, fp8=read_quantization(keys, config, has_weights(path.parent)))


def _described(preset: ModelPreset) -> ModelConfig:
    """A shipped description as a model that is computed. What is not is told by its name."""
    name = preset.config.get("architectures", [None])[0]
    if name not in FAMILIES:
        raise CheckpointError(
            f"{preset.name}: is {name}, which is described by its sizes and not computed: "
            f"{_KNOWN}; perfuse model {preset.name} says what it asks of machines"
        )
    return read_model(preset.path, preset.config)


def _glimpse(path: Path) -> str | None:
    """The architecture that a file names which cannot be read as a whole."""
    try:
        text = read_text(path, JSON_BYTES_MAX)
    except (OSError, Unreadable):
        return None
    found = re.search(r'"architectures"\s*:\s*\[\s*"(\w{1,80})"\s*\]', text)
    return None if found is None else found[1]

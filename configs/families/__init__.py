"""The model families that are known, and which of them a config.json belongs to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from configs.families import deepseek, qwen3_moe
from configs.families.keys import Keys
from configs.model_config import ModelConfig

READERS: dict[str, Callable[[Keys], ModelConfig]] = {
    "Qwen3MoeForCausalLM": qwen3_moe.read,
    "DeepseekV2ForCausalLM": deepseek.read_v2,
    "DeepseekV3ForCausalLM": deepseek.read_v3,
}


def read_config(path: Path, values: dict[str, Any]) -> ModelConfig:
    """The model that the object in config.json describes; raises CheckpointError."""
    keys = Keys(path, values)
    found = values.get("architectures")
    name = found[0] if isinstance(found, list) and len(found) == 1 else None
    if not isinstance(name, str) or name not in READERS:
        raise keys.error("architectures", found, f"known architectures: {', '.join(READERS)}")
    keys.refuse_everywhere()
    return READERS[name](keys)

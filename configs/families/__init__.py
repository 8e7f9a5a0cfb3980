"""The model families that are known, and which of them a config.json belongs to."""

from collections.abc import Callable
from pathlib import Path

from configs.checkpoint_files import read_json
from configs.families import deepseek, qwen3_moe
from configs.families.keys import Keys
from configs.model_config import ModelConfig

READERS: dict[str, Callable[[Keys], ModelConfig]] = {
    "Qwen3MoeForCausalLM": qwen3_moe.read,
    "DeepseekV2ForCausalLM": deepseek.read_v2,
    "DeepseekV3ForCausalLM": deepseek.read_v3,
}


def load_model(folder: str | Path) -> ModelConfig:
    """Read config.json (and generation_config.json where there is one).

    Raises CheckpointError on a missing or malformed file, an unknown architecture, a feature that
    is not computed, or sizes that fit no model.
    """
    path = Path(folder) / "config.json"
    values = read_json(path)
    keys = Keys(path, values)
    found = values.get("architectures")
    name = found[0] if isinstance(found, list) and len(found) == 1 else None
    if not isinstance(name, str) or name not in READERS:
        raise keys.error("architectures", found, f"known architectures: {', '.join(READERS)}")
    keys.refuse_everywhere()
    return READERS[name](keys)

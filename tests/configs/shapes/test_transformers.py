"""Parameters are those that `transformers` builds, to the last one: its own default sizes of a
family, without memory (the meta device), described from its own dictionary.
"""

from pathlib import Path

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from configs.shapes.describe import describe

# One of each kind of attention and network; `make bench-network` holds all published files so.
KINDS = (
    "gpt_oss",
    "deepseek_v4",
    "glm_moe_dsa",
    "qwen3_next",
    "kimi_linear",
    "gemma4_text",
    "llama4_text",
    "nemotron_h",
)
# No parameters there, and weights nevertheless.
BUFFERS = ("e_score_correction_bias", "layer_scalar")


def built(model_type: str) -> tuple[int, dict[str, object]]:
    config = CONFIG_MAPPING[model_type]()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    buffers = [each for name, each in model.named_buffers() if name.endswith(BUFFERS)]
    return sum(each.numel() for each in [*model.parameters(), *buffers]), config.to_dict()


@pytest.mark.parametrize("model_type", KINDS)
def test_parameters(model_type: str) -> None:
    count, values = built(model_type)
    assert describe(Path("config.json"), values).parameters == count

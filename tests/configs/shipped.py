"""Models of the shipped scenarios."""

from configs.model_config import ModelConfig
from configs.presets import TINY_MODEL, model_folder
from configs.schema import load_scenario
from configs.shapes.as_config import load_described


def config_of(scenario: str, tiny: ModelConfig) -> ModelConfig:
    """As its description says, without weights; `tiny` stands for perfuse-tiny."""
    path = load_scenario(scenario).model.path
    return tiny if path == TINY_MODEL else load_described(model_folder(path))

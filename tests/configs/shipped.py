"""Models of the shipped scenarios."""

from configs.model_config import ModelConfig
from configs.presets import model_folder
from configs.schema import load_scenario
from configs.shapes.as_config import load_described


def config_of(scenario: str) -> ModelConfig:
    """As its description says; no weights are read."""
    return load_described(model_folder(load_scenario(scenario).model.path))

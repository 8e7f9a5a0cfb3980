"""Decode context parallelism: what chips whose ranks hold slices of the tokens cannot do yet, and
which sizes fit.
"""

from configs.model_config import ModelConfig
from configs.schema import NodeGroup, Scenario

_KEY = "decode_context_parallel_size"


def context_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """Each with what would be right. None where no chip has slices; whether its ranks share KV
    heads: `configs.heads`.
    """
    problems = list[str]()
    for name, group in scenario.cluster.nodes.items():
        if group.decode_context_parallel_size > 1:
            key = f"cluster.nodes.{name}.{_KEY}: is {group.decode_context_parallel_size}"
            problems += [
                *_group_problems(key, name, group, scenario.of_group(name)),
                *_model_problems(key, scenario, config),
            ]
    return problems


def _group_problems(key: str, name: str, group: NodeGroup, scenario: Scenario) -> list[str]:
    """`scenario` as the group has it."""
    slices, size = group.decode_context_parallel_size, scenario.model.block_size
    problems = list[str]()
    if size % slices:
        below = size // slices * slices
        near = below if below and size - below < below + slices - size else below + slices
        problems.append(
            f"{key}, which does not divide the {size} tokens of a KV block: the nearest "
            f"cluster.nodes.{name}.kv.block_size that it divides is {near}"
        )
    return problems


def _model_problems(key: str, scenario: Scenario, config: ModelConfig) -> list[str]:
    path = scenario.model.path
    found = {
        f"{path} has layers with a window, whose old keys no query meets: make it 1": (
            config.has_windows
        ),
        f"{path} has layers that keep a state, which has no tokens: make it 1": config.has_states,
        f"{path} has an index, which chooses the keys that are met: make it 1": (
            config.index_bytes(1) > 0
        ),
    }
    return [f"{key}, and {what}" for what, is_so in found.items() if is_so]

"""KV beside memory servers: what makes it impossible, and whose arithmetic attends there."""

from configs.engines import engine_for
from configs.model_config import ModelConfig
from configs.precision import kernels_hindrance
from configs.schema import Scenario
from configs.schema.device import MAIN_ENGINE
from configs.schema.nodes import NodeGroup

KEY = "placement.kv_near"


def near_blocks(scenario: Scenario) -> int:
    """Of running sequences, in the room of each memory server."""
    near = scenario.placement.kv_near
    return 0 if near is None else near.blocks


def near_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """Of the model; none where the key is left out."""
    precision = scenario.model.precision
    is_real = scenario.model.numerics == "real"
    if scenario.placement.kv_near is None or not precision.exact or not is_real:
        return []
    why = kernels_hindrance(config, scenario.model.block_size)
    return [f"{KEY}: is given, and {why}"] if why else []


def window_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """Keys that are far are attended to where they are, all of them."""
    if scenario.placement.kv_near is None:
        return []
    found = {
        "layers with a window, whose old keys no query meets": config.has_windows,
        "an index, which chooses the keys that are met": config.index_bytes(1) > 0,
    }
    return [
        f"placement.kv_near: is given, and {scenario.model.path} has {what}: leave it out"
        for what, is_there in found.items()
        if is_there
    ]


def near_engine(scenario: Scenario, config: ModelConfig, group: NodeGroup, tier: str) -> str:
    """Whose arithmetic attends on a memory server of that group, with KV in that tier."""
    dtype = scenario.model.precision.pair_arithmetic(config)
    return engine_for(group.device, tier, dtype, scenario.placement.engines)


def near_engine_problems(
    scenario: Scenario, config: ModelConfig, key: str, group: NodeGroup, tier: str
) -> list[str]:
    """Of a group's device ("cluster.nodes.pnm"), whose pool lies in that tier."""
    near, device = scenario.placement.kv_near, group.device
    dtype = scenario.model.precision.pair_arithmetic(config)
    if (
        near is None
        or near.mode != "near"
        or "memory" not in group.workers
        or dtype in device.compute
        or near_engine(scenario, config, group, tier) != MAIN_ENGINE
    ):
        return []
    return [
        f"{KEY}.mode: is 'near', and {device.name} in {key} has no {dtype} rate, in which "
        f"attention is computed: it has {', '.join(device.compute)}; use mode: ship, or another "
        "device"
    ]

"""KV beside memory servers: what makes it impossible, and whose arithmetic attends there."""

from configs.model_config import ModelConfig
from configs.precision import kernels_hindrance
from configs.schema import DeviceSpec, Scenario

KEY = "placement.kv_near"


def engine_beside(device: DeviceSpec, dtype: str) -> str:
    """Whose arithmetic attends on a memory server: the first engine beside the device's main one
    that has the dtype, else the main one.
    """
    return next((name for name, e in device.engines.items() if dtype in e.compute), "compute")


def near_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """All of them; none where the key is left out."""
    near = scenario.placement.kv_near
    if near is None:
        return []
    precision = scenario.model.precision
    problems = []
    if precision.exact and (why := kernels_hindrance(config, scenario.model.block_size)):
        problems.append(f"{KEY}: is given, and {why}")
    dtype = precision.pair_arithmetic(config)
    return problems + [
        f"{KEY}.mode: is 'near', and {group.device.name} in cluster.nodes.{name} has no {dtype} "
        f"rate, in which attention is computed: it has {', '.join(group.device.compute)}; use "
        "mode: ship, or another device"
        for name, group in scenario.cluster.nodes.items()
        if near.mode == "near"
        and "memory" in group.workers
        and dtype not in group.device.compute
        and engine_beside(group.device, dtype) == "compute"
    ]

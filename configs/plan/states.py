"""What a model that keeps states in some layers cannot be combined with yet."""

from collections.abc import Iterator

from configs.fitting import rough
from configs.model_config import ModelConfig
from configs.schema import Scenario
from configs.schema.kv import KvSection


def state_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """None where every layer keeps keys and values."""
    if not config.has_states:
        return []
    model, placement = scenario.model, scenario.placement
    asked = {
        "model.enable_prefix_caching: is true": (
            model.enable_prefix_caching,
            "no block of the prefix cache has a state to go on from; make it false",
        ),
        "placement.kv_pool: is true": (placement.kv_pool, "blocks alone are pooled; leave it out"),
        "placement.kv_offload: is given": (
            placement.kv_offload is not None,
            "blocks alone are brought back; leave it out",
        ),
        "placement.kv_near: is given": (
            placement.kv_near is not None,
            "a state cannot be met elsewhere; leave it out",
        ),
    }
    groups = scenario.cluster.nodes.values()
    is_apart = any(role in ("prefill", "decode") for group in groups for role in group.workers)
    for name, group in scenario.cluster.nodes.items():
        key = f"cluster.nodes.{name}"
        asked[f"{key}.pipeline_parallel_size: is {group.pipeline_parallel_size}"] = (
            group.pipeline_parallel_size > 1,
            "stages keep other layers, and one may have states alone; make it 1",
        )
        asked[f"{key}.tensor_parallel_size: is {group.tensor_parallel_size}"] = (
            group.tensor_parallel_size > 1 and is_apart,
            "a state is not handed over in parts; make it 1, or have workers: [chip] alone",
        )
        asked[f"{key}.kv: is given"] = (
            group.kv != KvSection(),
            "a state goes with a last block of the same form; leave it out",
        )
    return [
        f"{what}, and {model.path} keeps states in {config.num_layers - config.num_kv_layers} of "
        f"{config.num_layers} layers: {why}"
        for what, (is_given, why) in asked.items()
        if is_given
    ]


def state_notes(scenario: Scenario, config: ModelConfig) -> Iterator[str]:
    """What states take of a chip."""
    if config.has_states:
        most, one = scenario.model.max_num_seqs, scenario.model.precision.state_bytes(config)
        yield (
            f"{config.num_layers - config.num_kv_layers} of {config.num_layers} layers keep a "
            f"state: {rough(one)} of each sequence, and a chip has room for {most:,} of them "
            f"({rough(most * one)}, shown with kv)"
        )

"""What a model asks of machines, from its configuration alone: no weights, no tokenizer."""

from collections.abc import Iterable
from dataclasses import dataclass

from configs.model_config import ModelConfig
from configs.precision import Precision
from configs.schema.device import DeviceSpec


@dataclass(frozen=True, slots=True)
class Sizes:
    """parameters      all of them; layers for multi-token prediction are not used or counted
    active             those that compute one token: its experts, all else but the embedding
    weight_bytes       what machines hold
    token_bytes        what one token alone has machines read of them
    kv_token_bytes     what a token leaves in the KV cache of all layers
    """

    parameters: int
    active: int
    weight_bytes: int
    token_bytes: int
    kv_token_bytes: int


@dataclass(frozen=True, slots=True)
class DeviceFit:
    """As few devices as hold the weights, were they spread evenly, and the KV tokens beside them.

    lacks   the arithmetic that the device has no rate for; then it cannot compute the model
    """

    device: DeviceSpec
    budget_bytes: int
    num_devices: int
    kv_tokens: int
    lacks: str | None


def sizes_of(config: ModelConfig, precision: Precision) -> Sizes:
    """All sizes in these numbers."""
    experts = config.num_sparse_layers * config.top_k
    embedding = 0 if config.tie_embeddings else config.head_bytes(1)
    layers = sum(precision.layer_bytes(config, layer) for layer in range(config.num_layers))
    read = layers + precision.head_bytes(config) + experts * precision.expert_bytes(config)
    return Sizes(
        parameters=config.total_bytes(1),
        active=config.chip_bytes(1) - embedding + experts * config.expert_bytes(1),
        weight_bytes=precision.total_bytes(config),
        token_bytes=read,
        kv_token_bytes=precision.kv_bytes_per_token(config),
    )


def fits_of(
    sizes: Sizes,
    config: ModelConfig,
    precision: Precision,
    devices: Iterable[DeviceSpec],
    utilization: float,
) -> tuple[DeviceFit, ...]:
    """How many of each device, with this share of the memory where its weights go."""
    found = []
    for device in devices:
        budget = int(device.tiers[device.default_tier].capacity_bytes * utilization)
        count = -(-sizes.weight_bytes // budget)
        room = count * budget - sizes.weight_bytes
        needed = ("fp32", precision.arithmetic, precision.pair_arithmetic(config))
        lacks = next((dtype for dtype in needed if dtype not in device.compute), None)
        found.append(DeviceFit(device, budget, count, room // sizes.kv_token_bytes, lacks))
    return tuple(found)

"""What a shard may read ahead: of each tier with a buffer that its experts lie in. Pure."""

from collections.abc import Mapping

from configs.schema import DeviceSpec
from configs.tiers import Tiers


def prefetch_bytes(
    key: str, device: DeviceSpec, tiers: Tiers, *, num_shards: int, num_chips: int, has_hot: bool
) -> tuple[Mapping[str, int], list[str]]:
    """(tier -> bytes of each shard of this node, problems): half of the buffer is being consumed,
    and shards share the other half evenly.
    """
    used = [tiers["experts"], *([tiers["hot_experts"]] if has_hot else [])]
    buffers = {
        tier: device.tiers[tier].buffer_bytes or 0
        for tier in dict.fromkeys(used)
        if device.tiers[tier].buffer_bytes is not None
    }
    if not buffers:
        return {}, [
            f"placement.experts_prefetch: is true, and {' and '.join(dict.fromkeys(used))} of "
            f"{device.name} in {key}, where its experts lie, has no buffer to read ahead into: "
            "give the tier a buffer, or leave experts_prefetch out"
        ]
    if num_chips and tiers["weights"] in buffers:
        return {}, [
            f"placement.experts_prefetch: is true, and the buffer of {tiers['weights']} in {key} "
            "holds the chips' own weights already: put placement.weights_tier elsewhere, or leave "
            "experts_prefetch out"
        ]
    return {tier: size // 2 // num_shards for tier, size in buffers.items()}, []

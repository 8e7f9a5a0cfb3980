"""Whether the files behind a node's flash tiers hold anything, and whatever is to lie in them."""

from configs.fitting import rough
from configs.schema import DeviceSpec
from configs.tiers import Tiers
from configs.units import SIZE

# Of each page, for what says which block it is part of: more than it needs.
HEAD_BYTES = 128


def problems_of_files(
    key: str, device: DeviceSpec, tiers: Tiers, has_pool: bool, kv_block_bytes: int
) -> list[str]:
    """`key`: of the node's group ("cluster.nodes.hbf"); `has_pool`: a KV pool lies on it."""
    problems = []
    for name, tier in device.tiers.items():
        if tier.file is None:
            continue
        at = f"{key}.device.tiers.{name}.file"
        if not has_pool:
            problems.append(
                f"{at}: is given, and no KV pool lies on these nodes: it keeps that of a memory "
                "server with placement.kv_pool: true; leave it out elsewhere"
            )
        elif tiers["pool"] != name:
            problems.append(
                f"{at}: is given, and the KV pool lies in tier {tiers['pool']}: set "
                f"{key}.tiers.pool: {name}, or leave it out"
            )
        elif kv_block_bytes > tier.file.data_blocks(tier.page_bytes) * tier.file.pages_per_block * (
            tier.page_bytes - HEAD_BYTES
        ):
            problems.append(
                f"{at}.capacity: is {SIZE.format(tier.file.capacity_bytes)}: it holds at least one "
                f"KV block, of {rough(kv_block_bytes)} and a little for each page"
            )
    return problems

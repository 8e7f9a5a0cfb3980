"""Which memory tier of a device holds what: by hand, by policy, or the device's own choice. Pure.

Looked for in this order: `tiers` of the node's group, the scenario's `placement.<what>_tier`, its
`placement.policy`, the device's default tier.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from configs.nearest import nearest
from configs.schema.device import DeviceSpec
from configs.schema.placement import PlacementSection, Policy, What

# What changes seldom or never: a flash tier may hold it (H3; Ma and Patterson 2026, section on HBF:
# frozen weights, and context that changes slowly).
FROZEN: tuple[What, ...] = ("weights", "embeddings", "experts", "collections")
# Keys that are not called `placement.<what>_tier`.
_KEYS: Mapping[What, str] = {"kv_offload": "placement.kv_offload.tier"}


@dataclass(frozen=True, slots=True)
class Tiers:
    """A tier for everything that may lie on one device, and which keys ask for what it lacks."""

    by_what: Mapping[What, str]
    problems: tuple[str, ...]

    def __getitem__(self, what: What) -> str:
        return self.by_what[what]


def tiers_of(
    key: str,
    device: DeviceSpec,
    placement: PlacementSection,
    of_group: Mapping[What, str],
    wanted: frozenset[What],
) -> Tiers:
    """For one node of the group `key` ("cluster.nodes.decode"), on which `wanted` will lie: what is
    asked for anything else is another group's business, and no problem here.
    """
    by_what: dict[What, str] = {}
    problems = []
    for what in get_args(What):
        asked = {
            f"{key}.tiers.{what}": of_group.get(what),
            _KEYS.get(what, f"placement.{what}_tier"): placement.tier_for(what),
        }
        said = next(((name, tier) for name, tier in asked.items() if tier is not None), None)
        by_what[what] = _by_policy(device, placement.policy, what) if said is None else said[1]
        if by_what[what] not in device.tiers:
            assert said is not None, "a policy names tiers that there are"
            by_what[what] = device.default_tier
            if what in wanted:
                problems.append(
                    f"{said[0]}: is {said[1]!r}, which {device.name} in {key} does not have: "
                    f"{nearest(said[1], device.tiers)}"
                )
    return Tiers(by_what, tuple(problems))


def _by_policy(device: DeviceSpec, policy: Policy, what: What) -> str:
    wearing = [name for name, tier in device.tiers.items() if tier.endurance_cycles is not None]
    lasting = [name for name in device.tiers if name not in wearing]
    if what == "pool":  # it is written often: where that is fastest, and does not wear
        return max(lasting or wearing, key=lambda name: device.tiers[name].write_bytes_per_s)
    if policy == "default" or not wearing or not lasting:
        return device.default_tier
    if what in FROZEN:
        return max(wearing, key=lambda name: device.tiers[name].capacity_bytes)
    return max(lasting, key=lambda name: device.tiers[name].sustained_read_bytes_per_s)

"""Whether a scenario can be put to a cluster that stands for another file, or for an older one."""

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.worlds.scaling import can_be_scaled
from configs.schema import Scenario

# What a cluster is made from; workload and SLO are whoever's who asks.
SECTIONS = ("cluster", "model", "placement", "faults", "seed")
# Keys of these that say nothing of what stands.
FREE = ("cluster.world",)


def check_same(standing: Scenario, asked: Scenario) -> None:
    """Raises ValueError naming the first key in which they differ."""
    there, here = standing.model_dump(mode="json"), asked.model_dump(mode="json")
    free = (*FREE, *_counts(standing))
    for section in SECTIONS:
        for key, one, other in _differences(section, there[section], here[section]):
            if key not in free:
                raise ValueError(
                    f"{key}: is {other!r}, and the cluster that stands has {one!r}: use the "
                    "scenario that it was raised from, or raise another one"
                )


def _counts(standing: Scenario) -> list[str]:
    """Of groups that `perfuse scale` may have changed since."""
    groups = standing.cluster.nodes.items()
    return [f"cluster.nodes.{name}.count" for name, group in groups if can_be_scaled(group)]


def _differences(key: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys((*one, *other)):
            yield from _differences(f"{key}.{name}", one.get(name), other.get(name))
    elif one != other:
        yield key, one, other

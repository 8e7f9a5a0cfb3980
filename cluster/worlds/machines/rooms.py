"""What the machines of a Ray cluster still have, by Ray's count."""

from collections.abc import Mapping

import ray

from cluster.worlds.machines.bundles import Room
from cluster.worlds.machines.ground_crew import living


def rooms(hosts: Mapping[str, str]) -> dict[str, Room]:
    """Of these machines (Ray's id -> name), by id; one that is gone has nothing."""
    free = ray._private.state.available_resources_per_node()
    labels = {each["NodeID"]: each.get("Labels", {}) for each in living()}
    return {
        machine: Room(name, free.get(machine, {}), labels.get(machine, {}))
        for machine, name in hosts.items()
    }

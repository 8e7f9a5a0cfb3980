"""Taking a cluster down, whatever is left of it."""

import time
from contextlib import suppress
from typing import Any

import ray
from ray._raylet import PlacementGroupID
from ray.util.placement_group import PlacementGroup, remove_placement_group

from cluster.worlds.machines import names
from cluster.worlds.machines.standing import actors, find_keeper, groups

# A gateway drains, then every process stops, then every machine clears up.
END_S, GONE_S = 150.0, 30.0


def take_down(name: str) -> None:
    """Its keeper ends it in order; what no keeper ends any more is ended by name. Returns when Ray
    knows nothing of it any more. Raises TimeoutError with what would not go.
    """
    keeper = find_keeper(name)
    if keeper is not None:
        with suppress(ray.exceptions.RayError, TimeoutError):
            ray.get(keeper.end.remote(), timeout=END_S)
    for actor in _machines_last(_own_actors(name)):
        with suppress(ValueError):
            _end(actor, ray.get_actor(actor, namespace=names.NAMESPACE))
    for group in _own_groups(name):
        # By its id: by its name Ray looks for those of this driver's namespace alone.
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group))))
    _await_end(name)


def _end(actor: str, handle: Any) -> None:
    try:
        if names.is_machine(actor):
            with suppress(ray.exceptions.RayError, TimeoutError):
                ray.get(handle.end.remote(), timeout=GONE_S)
    finally:
        ray.kill(handle)


def _own_actors(name: str) -> list[str]:
    return [actor for actor in actors() if names.cluster_of(actor) == name]


def _machines_last(found: list[str]) -> list[str]:
    return sorted(found, key=names.is_machine)


def _own_groups(name: str) -> list[str]:
    """Their ids."""
    return [one for one, group in groups().items() if names.cluster_of_group(group) == name]


def _await_end(name: str) -> None:
    ends_s = time.monotonic() + GONE_S
    while left := [*_own_actors(name), *_own_groups(name)]:
        if time.monotonic() > ends_s:
            raise TimeoutError(f"{', '.join(left)} did not end within {GONE_S:g} s")
        time.sleep(0.1)

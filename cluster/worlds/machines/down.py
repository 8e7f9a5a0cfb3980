"""Taking a cluster down, whatever is left of it."""

import time
from contextlib import suppress

import ray
from ray.util.placement_group import (
    get_placement_group,
    placement_group_table,
    remove_placement_group,
)

from cluster.worlds.machines import names
from cluster.worlds.machines.standing import actors, find_keeper

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
        with suppress(ValueError, ray.exceptions.RayError, TimeoutError):
            handle = ray.get_actor(actor, namespace=names.NAMESPACE)
            if _is_machine(actor):
                ray.get(handle.end.remote(), timeout=GONE_S)
            ray.kill(handle)
    for group in _own_groups(name):
        with suppress(ValueError):
            remove_placement_group(get_placement_group(group))
    _await_end(name)


def _own_actors(name: str) -> list[str]:
    return [actor for actor in actors() if names.cluster_of(actor) == name]


def _is_machine(actor: str) -> bool:
    return "/machine/" in actor


def _machines_last(found: list[str]) -> list[str]:
    return sorted(found, key=_is_machine)


def _own_groups(name: str) -> list[str]:
    prefix = names.group(name, "")
    return [
        group["name"]
        for group in placement_group_table().values()
        if group["name"].startswith(prefix) and group["state"] != "REMOVED"
    ]


def _await_end(name: str) -> None:
    ends_s = time.monotonic() + GONE_S
    while left := [*_own_actors(name), *_own_groups(name)]:
        if time.monotonic() > ends_s:
            raise TimeoutError(f"{', '.join(left)} did not end within {GONE_S:g} s")
        time.sleep(0.1)

"""Which clusters stand on the Ray cluster that this process has joined."""

from typing import Any

import ray
from ray.util.placement_group import placement_group_table

from cluster.worlds.machines import names


def clusters() -> list[str]:
    """Names of all that have a keeper, or anything left."""
    named = {names.cluster_of(each) for each in actors()}
    named |= {names.cluster_of_group(each) for each in groups().values()}
    return sorted(named - {""})


def groups() -> dict[str, str]:
    """Id -> name of every placement group that there is."""
    table = placement_group_table()
    return {one: str(group["name"]) for one, group in table.items() if group["state"] != "REMOVED"}


def actors() -> list[str]:
    """Names of all actors of ours."""
    listed = ray.util.list_named_actors(all_namespaces=True)
    return sorted(each["name"] for each in listed if each["namespace"] == names.NAMESPACE)


def find_keeper(name: str) -> Any:
    """The actor that holds a cluster together, or None."""
    try:
        return ray.get_actor(names.keeper(name), namespace=names.NAMESPACE)
    except ValueError:
        return None


def the_cluster(name: str | None) -> str:
    """The name that was given, or that of the only cluster. Raises ValueError."""
    found = clusters()
    if name is not None and name in found:
        return name
    if not found:
        raise ValueError("no cluster stands there: `perfuse up SCENARIO` raises one")
    if name is not None:
        raise ValueError(f"no cluster is called {name!r}: there {_are(found)}")
    if len(found) > 1:
        raise ValueError(f"several clusters stand there: name one of {', '.join(found)}")
    return found[0]


def _are(found: list[str]) -> str:
    return f"is {found[0]!r}" if len(found) == 1 else f"are {', '.join(map(repr, found))}"

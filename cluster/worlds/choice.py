"""Which live world a scenario asks for."""

from contextlib import AbstractContextManager

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.live import LiveWorld, quiet
from cluster.worlds.raising import OnStep


def live_world(blueprint: Blueprint, on_step: OnStep = quiet) -> AbstractContextManager[LiveWorld]:
    """The world that the scenario names: `process`, `local` or `ray`.

    Raises ValueError for the virtual one, which has no wall clock.
    """
    world = blueprint.scenario.cluster.world
    if world == "process":
        from cluster.worlds.process import process_world

        return process_world(blueprint, on_step)
    if world == "local":
        # Only here: whoever serves from one process need not even have Ray.
        from cluster.worlds.local import local_world

        return local_world(blueprint, on_step)
    if world == "ray":
        from cluster.worlds.machines.passing import ray_world

        return ray_world(blueprint, on_step)
    raise ValueError(f"cluster.world is {world!r}: a live world is 'process', 'local' or 'ray'")

"""A cluster on many machines for one command: up, and down again whatever happens."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.live import LiveWorld, quiet
from cluster.worlds.machines.joining import end_unused_ray, join
from cluster.worlds.raising import OnStep


@contextmanager
def ray_world(blueprint: Blueprint, on_step: OnStep = quiet) -> Iterator[LiveWorld]:
    """On the Ray cluster of RAY_ADDRESS, or the one that was started here, or a new one.

    Raises what `join` and `up` raise.
    """
    on_step("joining Ray")
    join(None, starts=True)
    # Only now: Ray reads its settings when it is loaded.
    from cluster.worlds.machines.down import take_down
    from cluster.worlds.machines.up import up
    from cluster.worlds.machines.world import attached

    name = f"{blueprint.scenario.name}-{os.getpid()}"
    try:
        up(blueprint, name, on_step)
        try:
            yield attached(name)
        finally:
            take_down(name)
    finally:
        end_unused_ray()

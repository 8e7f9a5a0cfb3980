"""Telling of what a keeper is about."""

from typing import Any

import ray

from cluster.worlds.raising import OnStep

PROGRESS_EVERY_S = 0.2


def follow(keeper: Any, begun: Any, told: int, on_step: OnStep) -> int:
    """Tell of the keeper's steps, from number `told` on, until it is done with what was begun; how
    many there were. Raises what it raised.
    """
    while True:
        done = bool(ray.wait([begun], timeout=PROGRESS_EVERY_S)[0])
        for step in ray.get(keeper.steps.remote(told)):
            on_step(step)
            told += 1
        if done:
            ray.get(begun)
            return told

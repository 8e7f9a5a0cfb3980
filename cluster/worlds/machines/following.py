"""Telling of what a keeper is about."""

from typing import Any

import ray

from cluster.worlds.machines.answers import said
from cluster.worlds.raising import OnStep

PROGRESS_EVERY_S = 0.2
KEEPER, STEPS_S = "the cluster's keeper", 60.0


def follow(keeper: Any, begun: Any, told: int, on_step: OnStep) -> int:
    """Tell of the keeper's steps, from number `told` on, until it is done with what was begun; how
    many there were. Raises what it raised.
    """
    while True:
        done = bool(ray.wait([begun], timeout=PROGRESS_EVERY_S)[0])
        if done:
            said(begun, KEEPER, STEPS_S)  # where it failed: no more steps are to be had
        for step in said(keeper.steps.remote(told), KEEPER, STEPS_S):
            on_step(step)
            told += 1
        if done:
            return told

"""Rounds of dispatch and combine, the same for everybody who takes part.

Knows nothing but numpy: MPICH's ranks run it in an environment of their own.
"""

import json
import os
import time
from pathlib import Path
from typing import Protocol

import numpy as np

TOKENS = 8
HIDDEN = 2048
# int8 codes and a float32 scale for each 128 channels, to a multiple of 64 bytes.
ROW_BYTES = 2112
# Payloads that take turns, so that what an earlier round left is not taken for this one's.
TURNS = 4
# Of the rounds that count, this part is run before: pages, caches, connections.
WARM_UP_PART = 10


class Contestant(Protocol):
    """One rank of somebody's all-to-all."""

    def barrier(self) -> None: ...

    def exchange(self, turn: int) -> None:
        """To all ranks and back: the time of this is taken."""

    def check(self, turn: int) -> None:
        """Raises AssertionError where what came back is not what it must be."""


def pin(rank: int) -> None:
    """Two processors, and ranks on them in turn."""
    mine = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, {mine[rank % len(mine)]})


def rows_of(rank: int, turn: int) -> np.ndarray:
    """A rank's tokens of a turn, float32."""
    chance = np.random.default_rng([rank, turn])
    return chance.standard_normal((TOKENS, HIDDEN)).astype(np.float32)


def timed(contestant: Contestant, rounds: int) -> list[int]:
    """Nanoseconds of each round here; every result is checked when the clock has stopped."""
    durations = []
    for number in range(rounds // WARM_UP_PART + rounds):
        turn = number % TURNS
        contestant.barrier()
        start = time.perf_counter_ns()
        contestant.exchange(turn)
        durations.append(time.perf_counter_ns() - start)
        contestant.check(turn)
    return durations[-rounds:]


def keep(durations: list[int], folder: str, rank: int) -> None:
    Path(folder, f"{rank}.json").write_text(json.dumps(durations), encoding="utf-8")


def leave_together(folder: str, ranks: int) -> None:
    """Wait until all ranks have kept theirs; whoever runs them bounds that."""
    while not all(Path(folder, f"{rank}.json").exists() for rank in range(ranks)):
        time.sleep(0.001)

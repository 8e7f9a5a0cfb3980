"""What tests of trials begin with."""

from dataclasses import replace

import pytest

from cluster.chaos.drawing import SEEDS_A_SHAPE
from cluster.chaos.trial import Ask, Trial
from cluster.chaos.work import Worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """One for all: a shape is made once."""
    return Worker("digest", tmp_path_factory.mktemp("chaos"))


@pytest.fixture(scope="module")
def calm(worker: Worker) -> Trial:
    """A shape in which prefill and decode are apart, without faults, and with three requests."""
    seeds = range(0, SEEDS_A_SHAPE * 64, SEEDS_A_SHAPE)
    trial = next(t for t in map(worker.trial, map(str, seeds)) if "prefill" in t.groups)
    asks = tuple(Ask(f"r{i}", (i, 40, 0), 6, 1_000 * i) for i in range(3))
    return replace(trial, asks=asks, faults=())

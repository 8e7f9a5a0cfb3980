"""The laws bite: each bug that is planted is found by seeds of the search, within a few of them.

`perfuse chaos search` begins at 0; the seeds here begin a little before the first that finds it.
"""

from pathlib import Path

import pytest

from cluster.chaos.work import Worker
from tests.cluster.chaos.plants import PLANTS

NUM_SEEDS = 12
# Plant -> where its seeds begin, and a law that one of them must break.
BEGINS = {
    "checksum_skipped": (8, "ends"),
    "token_repeated": (16, "exact"),
    "combine_dropped": (0, "exact"),
    "block_leaked": (0, "clean"),
    "block_freed_twice": (0, "works"),
    "stale_block_used": (0, "exact"),
    "ack_forgotten": (0, "ends"),
    "handled_twice": (0, "ends"),
    "deadline_forgotten": (64, "clean"),
    "cancel_forgotten": (0, "clean"),
}


def first_broken(worker: Worker, first: int) -> set[str]:
    for seed in range(first, first + NUM_SEEDS):
        seen = worker.run(worker.trial(str(seed)))
        if seen.broken:
            return seen.laws
    return set()


@pytest.mark.parametrize("name", list(PLANTS))
def test_it_is_found(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, law = BEGINS[name]
    PLANTS[name](monkeypatch)
    assert law in first_broken(Worker("digest", tmp_path), first)


def test_without_a_plant_these_seeds_break_nothing(tmp_path: Path) -> None:
    worker = Worker("digest", tmp_path)
    assert not first_broken(worker, 0)
    assert not first_broken(worker, 64)

"""The laws bite: each bug that is planted is found by seeds of the search, within a few of them.

`perfuse chaos search` begins at 0, and so do the seeds here; what needs more has a trial of its
own, and that is what is run.
"""

from pathlib import Path

import pytest

from benchmarks.mutants.folders import ROOT
from cluster.chaos.work import Worker
from cluster.chaos.written import read_trial
from tests.cluster.chaos.plants import PLANTS

NUM_SEEDS = 16
MET = ROOT / "tests" / "chaos" / "met"
# Plant -> a law that is broken: by the first seeds, or by the trial of MET that has its name.
LAWS = {
    "checksum_skipped": "ends",
    "token_repeated": "exact",
    "combine_dropped": "exact",
    "block_leaked": "clean",
    "block_freed_twice": "works",
    "stale_block_used": "exact",
    "ack_forgotten": "ends",
    "handled_twice": "ends",
    "deadline_forgotten": "clean",
    "cancel_forgotten": "clean",
}


def first_broken(worker: Worker, name: str) -> set[str]:
    path = MET / f"{name}.yaml"
    if path.exists():
        return worker.run(read_trial(path)).laws
    for seed in range(NUM_SEEDS):
        seen = worker.run(worker.trial(str(seed)))
        if seen.broken:
            return seen.laws
    return set()


@pytest.mark.parametrize("name", list(PLANTS))
def test_it_is_found(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    PLANTS[name](monkeypatch)
    assert LAWS[name] in first_broken(Worker("digest", tmp_path), name)


def test_without_a_plant_these_trials_break_nothing(tmp_path: Path) -> None:
    worker = Worker("digest", tmp_path)
    assert not first_broken(worker, "none")
    for path in sorted(MET.glob("*.yaml")):
        assert not first_broken(worker, path.stem)

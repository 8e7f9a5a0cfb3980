"""The six laws under twenty adversarial scenarios; `make bench-laws` tries three hundred."""

import pytest

from benchmarks.laws._adversary import PAIRS, POINTS, Adversary, Cut, adversaries
from benchmarks.laws.requests import NUM_SCENARIOS, broken_laws
from workers.chip.deadlines import Deadlines

SCENARIOS = list(adversaries(seed=2, count=20))


@pytest.mark.parametrize("trial", SCENARIOS, ids=lambda trial: str(trial.seed))
def test_all_laws_hold(trial: Adversary) -> None:
    assert not broken_laws(trial, again=trial.seed % 4 == 0), trial


def test_three_hundred_cut_every_pair_and_disturb_every_kind() -> None:
    trials = list(adversaries(seed=1, count=NUM_SCENARIOS))
    assert {cut.pair for trial in trials for cut in trial.cuts} == {*PAIRS}
    assert {cut.at_kind for trial in trials for cut in trial.cuts} >= {*POINTS}
    assert {fault["kind"] for trial in trials for fault in trial.faults} == {*POINTS}
    assert sum(trial.is_finite for trial in trials) > NUM_SCENARIOS // 2
    assert sum(trial.curved for trial in trials) == NUM_SCENARIOS // 5


def test_a_broken_law_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chip that keeps no deadline holds what nobody can tell it to let go of."""

    def begin(self: Deadlines, name: str, deadline_ns: int) -> None:
        """Forgets it."""

    cut = Cut(("router", "decode-0"), "reserved", None)
    trial = Adversary(7, colocated=False, kv_pool=False, faults=(), cuts=(cut,))
    assert not broken_laws(trial, again=False)
    monkeypatch.setattr(Deadlines, "begin", begin)
    broken = broken_laws(trial, again=False)
    assert any(line.startswith("clean: decode-0 jobs is") for line in broken), broken

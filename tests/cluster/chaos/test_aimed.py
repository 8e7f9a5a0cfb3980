"""Faults that are aimed: at whoever a message is about, at a cell, and at all nodes in turn."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from cluster.chaos.drawing import Drawing, passing
from cluster.chaos.mutating import CELLS, trial_of
from cluster.chaos.pairs import draw_pair
from cluster.chaos.striking import draw_rolling
from cluster.chaos.trial import (
    ANYONE,
    ENDS,
    RECEIVER,
    ROLLING,
    SENDER,
    At,
    Fault,
    Trial,
)
from cluster.chaos.work import Worker
from cluster.chaos.written import read_trial, write_trial


@pytest.mark.parametrize(("end", "role"), [(SENDER, "prefill"), (RECEIVER, "decode")])
def test_a_deed_strikes_an_end_of_its_message(
    worker: Worker, calm: Trial, end: str, role: str
) -> None:
    fault = Fault("f0", "pause", At("kv_blocks", 2), (end,), for_ns=1_000)
    seen = worker.run(replace(calm, faults=(fault,)))
    assert (seen.broken, seen.num_fired) == ([], 1)
    (node,) = (who for _, row, who, _ in seen.marks if row == 1)
    assert node.split("-")[0] == role


def test_a_cut_between_the_ends_of_its_message_hits_nobody_else(
    worker: Worker, calm: Trial
) -> None:
    fault = Fault("f0", "partition", At("kv_blocks", 2), ENDS, for_ns=50_000)
    seen = worker.run(replace(calm, faults=(fault,)))
    between = {frozenset(hit[:2]) for hit in seen.hits["f0"]}
    assert len(between) == 1
    assert {name.split("-")[0] for name in next(iter(between))} == {"decode", "prefill"}


def test_a_name_may_strike_a_cell(worker: Worker) -> None:
    """Whatever else its seed does: the last fault is of this kind, and at this point."""
    cell = "pause", "telling"
    trials = [worker.trial(f"3.{number}x{CELLS.index(cell)}") for number in range(4)]
    assert trials[0] == worker.trial(trials[0].name)
    assert {trial.faults[-1].what for trial in trials} == {"pause"}
    assert any(worker.run(trial).cells.get(cell) for trial in trials)
    with pytest.raises(ValueError, match=f"of cell 0 to {len(CELLS) - 1}"):
        worker.trial(f"3.1x{len(CELLS)}")
    with pytest.raises(ValueError, match="names no trial"):
        worker.trial("3x1")


def test_whoever_restarts_in_turn_fails_nobody(worker: Worker) -> None:
    trial = worker.trial(f"0.1x{CELLS.index((ROLLING, 'asked'))}")
    assert [fault.what for fault in trial.faults] == [ROLLING] and trial.is_mild
    seen = worker.run(trial)
    assert (seen.broken, seen.num_fired, seen.num_failed) == ([], 1, 0)
    restarted = [what for _, row, _, what in seen.marks if row == 1]
    assert restarted[0].startswith("restarting ") and len(restarted) >= 3


def test_nobody_dies_by_a_mutation_while_all_restart(worker: Worker) -> None:
    first = f"0.1x{CELLS.index((ROLLING, 'asked'))}"
    assert all(worker.trial(f"{first}.{number}").is_mild for number in range(24))


def test_a_file_with_a_rolling_restart_has_nothing_worse(calm: Trial, tmp_path: Path) -> None:
    rolling = Fault("f0", ROLLING, At("submit", 1), (ANYONE,))
    path = tmp_path / "t.yaml"
    path.write_text(write_trial(replace(calm, faults=(rolling,))))
    assert read_trial(path).rolls
    worse = Fault("f1", "crash", At("submit", 1), ("router",))
    path.write_text(write_trial(replace(calm, faults=(rolling, worse))))
    with pytest.raises(ValueError, match="while all nodes restart in turn"):
        read_trial(path)


def test_an_end_of_no_message_is_none(calm: Trial, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(write_trial(replace(calm, faults=(Fault("f0", "crash", At(ns=5), ENDS[:1]),))))
    with pytest.raises(ValueError, match=r"faults\.0\.at: @sender is an end of a message"):
        read_trial(path)


def test_what_passes_is_over_in_time_and_deadlines_are_far_away(worker: Worker) -> None:
    drawing = Drawing(worker.stages, "digest")
    trial, setting = trial_of("1", drawing), drawing.setting(1)
    patient = passing(trial, setting)
    assert all(0 < (fault.for_ns or 0) <= setting.deadline_ns for fault in patient.faults)
    assert patient.scenario["slo"]["deadline"] == "1000000000 ns"


def test_pairs_begin_with_one_message_or_later(worker: Worker) -> None:
    setting = Drawing(worker.stages, "digest").setting(0)
    for number in range(64):
        pair = draw_pair(Random(number), "f0", setting)
        assert len({fault.name for fault in pair}) == 2
        assert not any(fault.is_aimed and not fault.at.kind for fault in pair)
    assert draw_rolling(Random(1), "f", setting).at.kind

"""The rows of near memory beside shipped, of few questions; and that a difference shows."""

from dataclasses import replace

import pytest

from benchmarks.memory import near_or_ship
from benchmarks.memory.energy import whole
from benchmarks.memory.near_or_ship import COMPUTED, equal_row, joules_of, link_bytes, run


def test_rows_of_few_questions_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_or_ship, "NUM_QUESTIONS", 6)
    monkeypatch.setattr(near_or_ship, "NUM_ALONE", 3)
    rows = list(near_or_ship.rows())
    assert [row.name for row in rows if not row.holds] == []
    assert len(rows) == 13


def test_what_differs_is_counted() -> None:
    told, _ = run({}, 3)
    other = replace(told, answers=list(told.answers))
    other.answers[1] = replace(told.answers[1], passages=("another",))
    row = equal_row("x", told, other)
    assert row.value == 1 and not row.holds


def test_links_tiers_and_engines_are_all_of_a_phase() -> None:
    told, blueprint = run({}, 3)
    balance = whole(blueprint, told.energy)
    sums = joules_of(balance, *COMPUTED)
    phases = sum(balance.by_phase[phase] for phase in COMPUTED)
    assert sum(sums.values()) == pytest.approx(phases)
    assert all(sums.values())
    assert link_bytes(told, blueprint, *COMPUTED) > 0

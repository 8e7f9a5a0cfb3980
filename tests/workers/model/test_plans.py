"""A layout in work is planned once; what is not in work any more is forgotten."""

from typing import Any

from workers.model.base import StepLayout
from workers.model.plans import MICRO_BATCHES_MAX, Plans


def test_as_many_plans_are_kept_as_micro_batches_take_turns() -> None:
    made: list[Any] = []

    def make(layout: StepLayout) -> int:
        made.append(layout)
        return len(made)

    plans: Plans[int] = Plans(make)
    layouts = [StepLayout(()) for _ in range(MICRO_BATCHES_MAX + 1)]
    for number, layout in enumerate(layouts, start=1):
        assert plans.of(layout) == plans.of(layout) == number
    for number in range(MICRO_BATCHES_MAX + 1, 1, -1):
        assert plans.of(layouts[number - 1]) == number, "the newest ones are known"
    assert plans.of(layouts[0]) == MICRO_BATCHES_MAX + 2, "the oldest one is planned anew"

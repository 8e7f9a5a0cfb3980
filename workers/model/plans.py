"""What a model works out once for a step and uses in every layer."""

from collections.abc import Callable
from typing import Generic, TypeVar

from workers.model.base import StepLayout

Plan = TypeVar("Plan")
# Layouts that take turns layer by layer: the micro-batches of a step.
MICRO_BATCHES_MAX = 2


class Plans(Generic[Plan]):
    """Plans of the layouts in work. Layouts are immutable: the same object has the same plan."""

    def __init__(self, make: Callable[[StepLayout], Plan]) -> None:
        self._make = make
        self._known: list[tuple[StepLayout, Plan]] = []

    def of(self, layout: StepLayout) -> Plan:
        """Raises what `make` raises on a layout that does not fit."""
        for known, plan in self._known:
            if known is layout:
                return plan
        plan = self._make(layout)
        self._known = [(layout, plan), *self._known[: MICRO_BATCHES_MAX - 1]]
        return plan

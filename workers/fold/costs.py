"""What a folded chip's step costs: how long its launches take between exchanges, and what they ask
of its machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.fold.launches import Asked, Bench, Measure
from workers.hardware.energy.phase import Cause
from workers.model.base import LaunchModel, StepLayout, StepSequence

# Steps of which the costs are kept, by how many tokens they have and how much these see.
KNOWN_MAX = 1 << 14


@dataclass(frozen=True, slots=True)
class Cost:
    """launches_ns   [X + 1]: before each exchange with the experts, and after the last
    logits       what follows the layers        resources   what all of it asks for
    measures     of each kind of layers         kinds       [X + 1]: of the layers of `launches_ns`
    """

    launches_ns: NDArray[np.int64]
    logits: Measure
    resources: Mapping[str, Asked]
    cause: Cause
    num_tokens: int
    measures: Sequence[Measure]
    kinds: Sequence[Sequence[int]]

    @property
    def exchanges(self) -> int:
        return len(self.kinds) - 1

    @property
    def logits_ns(self) -> int:
        return self.logits.took_ns

    def launches(self, exchange: int) -> list[Measure]:
        """One by one: before an exchange, or behind the last."""
        launches = [self.measures[kind] for kind in self.kinds[exchange]]
        if exchange == self.exchanges:
            launches.append(self.logits)
        return launches


class Costs:
    """Of steps of chips that are alike. Layers that ask for the same are launched once to be
    measured.
    """

    def __init__(self, model: LaunchModel, bench: Bench) -> None:
        self._model, self._bench = model, bench
        config = model.config
        self._firsts: list[int] = []  # of layers that are alike
        kinds: dict[tuple[object, ...], int] = {}
        layers = list[int]()
        for layer in range(config.num_layers):
            kind = config.kind_of(layer), layer == 0
            if kind not in kinds:
                kinds[kind] = len(self._firsts)
                self._firsts.append(layer)
            layers.append(kinds[kind])
        sparse = [layer for layer in range(config.num_layers) if not config.is_dense(layer)]
        self._counts = np.zeros((len(sparse) + 1, len(self._firsts)), dtype=np.int64)
        self._kinds: list[list[int]] = [[] for _ in range(len(sparse) + 1)]
        for layer, kind_number in enumerate(layers):
            before = int(np.searchsorted(sparse, layer))
            self._counts[before, kind_number] += 1
            self._kinds[before].append(kind_number)
        self._totals = self._counts.sum(axis=0).tolist()
        # Where all keys are met, sequences ask for as much as others whose positions add up alike.
        self._may_know = not config.has_windows and not config.index_bytes(1)
        self._known: dict[tuple[int, int], Cost] = {}

    def of(self, layout: StepLayout, num_sampled: int, cause: Cause) -> Cost:
        """Of a step."""
        measures = [
            self._bench.launch(self._model.attend_work(layer, layout)) for layer in self._firsts
        ]
        logits = self._bench.launch(self._model.logits_work(num_sampled))
        took = np.array([measure.took_ns for measure in measures], dtype=np.int64)
        launches_ns = self._counts @ took
        launches_ns[-1] += logits.took_ns
        total = Measure()
        for measure, times in zip(measures, self._totals, strict=True):
            total.add(measure, times)
        total.add(logits)
        return Cost(
            launches_ns, logits, total.resources, cause, layout.num_tokens, measures, self._kinds
        )

    def following(self, starts: Sequence[int], steps: int, cause: Cause) -> list[Cost]:
        """`next_of` for so many steps, each a position further."""
        count, seen = len(starts), sum(starts)
        costs = list[Cost]()
        for n in range(steps):
            known = self._known.get((count, seen + n * count)) if self._may_know else None
            costs.append(known or self.next_of([start + n for start in starts], cause))
        return costs

    def next_of(self, starts: Sequence[int], cause: Cause) -> Cost:
        """Of a step with one token of each of some sequences, at these positions."""
        key = len(starts), sum(starts)
        known = self._known.get(key) if self._may_know else None
        if known is None:
            layout = StepLayout(tuple(StepSequence((), start, 1) for start in starts))
            known = self.of(layout, len(starts), cause)
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[key] = known
        return known

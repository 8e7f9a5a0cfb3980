"""Tokens and experts of steps to come: they hang on no time, so they are computed before it, for
many members at once.

Letters: N sequences, T tokens of a step, X layers with experts, K experts a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kernels.fold import Chosen, Drawn
from workers.chip.batch import Batch
from workers.chip.sequence import Sequence as TokenSequence
from workers.model.base import StepLayout
from workers.model.digest.chip_model import DigestChip
from workers.model.digest.expert_model import DigestExperts
from workers.model.digest.mixing import Digests
from workers.model.digest.plan import StepPlan
from workers.model.program import Hidden

Experts = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Row:
    """A sequence whose next tokens are wanted.

    seq        itself        blocks   its KV blocks, among those of all members
    position   of the token to compute next        token   itself
    steps      how many steps are wanted of it
    """

    seq: TokenSequence
    blocks: Sequence[int]
    position: int
    token: int
    steps: int


class Values(Protocol):
    """What a fold computes with.

    alone   experts hang on the whole batch of a step
    depth   steps of a sequence that are computed before their time: what comes in between cuts a
            stretch and leaves what is known; what is lost with its blocks is computed again
    """

    @property
    def alone(self) -> bool: ...

    @property
    def depth(self) -> int: ...

    def step(self, model: Any, batch: Batch) -> tuple[Hidden, Experts]:
        """The last hidden states of a member's step, and [1, X, T, K]."""
        ...

    def choices(self, chip: int, first_step: int, experts: Experts) -> Chosen | Drawn:
        """Of the steps of a chip's stretch, as the engine is told: experts [steps, X, T, K]."""
        ...

    def ahead(self, rows: Sequence[Row]) -> tuple[NDArray[np.int64], Experts]:
        """Greedy tokens [steps, N] that follow, and the experts of those computed meanwhile,
        [steps, X, N, K]; steps beyond a row's own say nothing.
        """
        ...


class DigestValues:
    """whole     a model over the blocks of all members        experts   all of them"""

    depth = 8

    def __init__(self, whole: DigestChip, experts: DigestExperts, *, alone: bool) -> None:
        self._whole, self._experts, self.alone = whole, experts, alone
        config = whole.config
        self._layers = config.num_layers
        self._sparse = [layer for layer in range(self._layers) if not config.is_dense(layer)]
        self._top_k = config.top_k if self._sparse else 0

    def step(self, model: DigestChip, batch: Batch) -> tuple[Hidden, Experts]:
        tokens = batch.token_ids_T
        experts = np.empty((len(self._sparse), len(tokens), self._top_k), dtype=np.int32)
        layout: StepLayout = batch.layout
        plan = model.plan(layout)
        return self._through(model, model.embed(tokens), plan, experts), experts[None]

    def choices(self, chip: int, first_step: int, experts: Experts) -> Chosen | Drawn:
        return Chosen(experts)

    def ahead(self, rows: Sequence[Row]) -> tuple[NDArray[np.int64], Experts]:
        model = self._whole
        counts = np.array([row.steps for row in rows])
        num_steps, num_rows = int(counts.max()), len(rows)
        spans = [model.cache.spans_of(row.blocks) for row in rows]
        sizes = np.array([len(one) for one in spans])
        firsts, flat = np.cumsum(sizes) - sizes, np.concatenate(spans)
        positions = np.array([row.position for row in rows])
        last = np.array([row.token for row in rows])
        tokens = np.zeros((num_steps, num_rows), dtype=np.int64)
        experts = np.zeros((num_steps, len(self._sparse), num_rows, self._top_k), dtype=np.int32)
        for step in range(num_steps):
            going = np.flatnonzero(counts > step)
            every = len(going) == num_rows
            here = experts[step] if every else np.empty_like(experts[step][:, going])
            plan = model.plan_next(flat, firsts[going], positions[going] + step)
            x = self._through(model, model.embed(last[going]), plan, here)
            last[going] = model.most_likely(x)
            tokens[step] = last
            if not every:
                experts[step][:, going] = here
        return tokens, experts

    def _through(self, model: DigestChip, x: Digests, plan: StepPlan, experts: Experts) -> Digests:
        """All layers; `experts` [X, T, K] is filled."""
        sparse = 0
        for layer in range(self._layers):
            x, moe = model.attend_planned(layer, x, plan)
            if moe is not None:
                experts[sparse] = moe.experts_TK
                sparse += 1
                sums_T = self._experts.forward(layer, moe.hidden_TH, moe.experts_TK, moe.weights_TK)
                x = model.merge(x, sums_T)
        return x

"""Programs where everything is at hand: one process, one call, nothing between chip and experts."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from workers.model.base import ChipModel, ExpertModel, StepLayout
from workers.model.forward import as_it_is, forward
from workers.model.numerics import Numerics
from workers.model.program import (
    Attend,
    Compute,
    Experts,
    Gather,
    Hidden,
    Program,
    R,
    Reduce,
    Rows,
    Sums,
    Swap,
)

# layer, rows, experts, weights -> sums: `ExpertModel.forward`.
ExpertsHere = Callable[[int, Rows, NDArray[np.int32], NDArray[np.float32]], Sums]
# Embedded tokens -> last hidden states, experts included; the new tokens' KV into their blocks.
LocalStep = Callable[[Hidden, StepLayout], Hidden]


def run_here(program: Program[R], experts: ExpertsHere) -> R:
    """Run a program of a model that has all its layers and heads here. Declares no work.

    Raises ValueError on a pipeline stage: there is nobody to send to.
    """
    sent: object = None
    while True:
        try:
            op = program.send(sent)
        except StopIteration as end:
            result: R = end.value
            return result
        if isinstance(op, Compute):
            sent = op.kernel(*op.args)
        elif isinstance(op, Experts):
            sent = experts(op.layer, op.rows_T, op.experts_TK, op.weights_TK)
        elif isinstance(op, Reduce):
            sent = op.partial
        elif isinstance(op, Gather | Swap):
            raise ValueError("a rank does not run alone: others hold slices of its keys")
        elif isinstance(op, Attend):
            raise ValueError("attention does not run alone: some of its keys are elsewhere")
        else:
            raise ValueError("a pipeline stage does not run alone: its rows go on to another chip")


def over_wire(experts: ExpertsHere, wire: Numerics) -> ExpertsHere:
    """The same experts where one shard holds them all, and rows and sums travel to it and back."""

    def forward(
        layer: int, rows_T: Rows, experts_TK: NDArray[np.int32], weights_TK: NDArray[np.float32]
    ) -> Sums:
        sums_T = wire.zero(rows_T)
        arrived_T = wire.received(wire.sent(rows_T))
        partial_T = wire.answered(experts(layer, arrived_T, experts_TK, weights_TK))
        wire.add(sums_T, slice(None), partial_T)
        return sums_T

    return forward


def local_step(chip: ChipModel, experts: ExpertModel, wire: Numerics | None = None) -> LocalStep:
    """A step of a chip and all experts, to the bit what they compute apart: with nothing between
    them, or with a wire that rounds what it carries.

    Raises ValueError unless `experts` holds every expert of the model.
    """
    held, num_experts = len(experts.expert_ids), chip.config.num_experts
    if held != num_experts:
        raise ValueError(
            f"the experts here are {held} of {num_experts}: a whole step needs all of them"
        )
    here = experts.forward if wire is None else over_wire(experts.forward, wire)
    return partial(_step, chip, here)


def _step(chip: ChipModel, experts: ExpertsHere, x: Hidden, layout: StepLayout) -> Hidden:
    return run_here(forward(chip, partial(as_it_is, x), layout), experts)()

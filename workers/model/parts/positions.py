"""Positions and blocks of a step, as arrays of indices."""

import numpy as np
from numpy.typing import NDArray

from workers.model.base import StepSequence

Indices = NDArray[np.int64]


def check_sequence(sequence: StepSequence, block_size: int) -> None:
    """Raises ValueError where blocks do not cover a sequence's tokens, or none is new."""
    needed = -(-(sequence.start + sequence.count) // block_size)
    if sequence.count < 1 or sequence.start < 0 or len(sequence.block_ids) < needed:
        raise ValueError(
            f"sequence at {sequence.start} with {sequence.count} new tokens has "
            f"{len(sequence.block_ids)} blocks; it needs {needed}, and at least one new token"
        )

"""Steps to come of models of which nothing is computed: tokens are placeholders, and which experts
they visit the engine draws by itself, from a pool of tokens that choose as the routing law has it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.fold import Chosen, Drawn
from workers.chip.batch import Batch
from workers.chip.placeholders import Placeholders
from workers.fold.values import Experts, Row
from workers.model.program import Hidden


class CountedValues:
    """pool   of the engine: see `kernels.fold`; None: no layer has experts
    seed   of draws from it
    """

    alone = False
    depth = 512

    def __init__(self, placeholders: Placeholders, pool: int | None, seed: int) -> None:
        self._placeholders, self._pool, self._seed = placeholders, pool, seed

    def step(self, model: Any, batch: Batch) -> tuple[Hidden, Experts]:
        """Nothing, for so many tokens."""
        return None, _nothing(1, len(batch.token_ids_T))

    def choices(self, chip: int, first_step: int, experts: Experts) -> Chosen | Drawn:
        if self._pool is None:
            return Chosen(experts)
        return Drawn(self._pool, experts.shape[2], self._seed, first_step)

    def ahead(self, rows: Sequence[Row]) -> tuple[NDArray[np.int64], Experts]:
        num_steps = max(row.steps for row in rows)
        tokens = np.empty((num_steps, len(rows)), dtype=np.int64)
        for place, row in enumerate(rows):
            first = row.position + 1 - row.seq.num_prompt
            tokens[:, place] = self._placeholders.tokens(row.seq.seq_id, first, num_steps)
        return tokens, _nothing(num_steps, len(rows))


def _nothing(steps: int, tokens: int) -> Experts:
    return np.empty((steps, 0, tokens, 0), dtype=np.int32)

"""The rows of a step whose requests shape their logits.

Letters: R rows, V vocabulary.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.chip.step import Item
from workers.errors import PerfuseError
from workers.model.shaper import Shaper

Rows = NDArray[np.float32]
Change = Callable[[Rows, Sequence[int], int], None]


class Shaped:
    """A step's logits as they may be chosen from.

    logits_RV    without what may not come: log-probabilities are of these
    weighed_RV   with biases and penalties as well, where somebody has any
    failures     seq_id -> why it cannot go on: whatever is chosen from its row counts for nothing
    """

    def __init__(
        self, logits_RV: Rows, items: Sequence[Item], shapers: Sequence[Shaper | None]
    ) -> None:
        """`logits_RV` is the caller's to give: rows that are shaped are changed in place."""
        self.failures: dict[str, PerfuseError] = {}
        self.logits_RV = logits_RV
        self.weighed_RV: Rows | None = None
        found = [
            (row, item, shaper)
            for row, (item, shaper) in enumerate(zip(items, shapers, strict=True))
            if shaper is not None
        ]
        for row, item, shaper in found:
            self._try(shaper.forbid, logits_RV[row], item)
        if any(shaper.weighs for _, _, shaper in found):
            self.weighed_RV = logits_RV.copy()
            for row, item, shaper in found:
                if shaper.weighs:
                    self._try(shaper.weigh, self.weighed_RV[row], item)

    def _try(self, change: Change, logits_V: Rows, item: Item) -> None:
        try:
            change(logits_V, item.seq.token_ids, item.seq.num_prompt)
        except PerfuseError as error:
            self.failures.setdefault(item.seq.seq_id, error)
            logits_V[:] = 0.0

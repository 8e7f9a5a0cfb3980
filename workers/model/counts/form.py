"""Keys that are not kept, at a memory server: in the place of `workers.model.digest.form`."""

from collections.abc import Sequence

import numpy as np

from workers.model.counts.cache import NoKeys
from workers.model.digest.mixing import Digests
from workers.model.digest.unit_form import UnitForm
from workers.model.parts.partial import Part


class CountedForm(UnitForm):
    """Nothing is kept, and nothing found."""

    def cache(  # type: ignore[override]
        self, num_blocks: int, num_layers: int | None = None
    ) -> NoKeys:
        layers = self._num_layers if num_layers is None else num_layers
        return NoKeys(num_blocks, layers, self._units)

    def attend_all(  # type: ignore[override]
        self,
        cache: NoKeys,
        layer: int,
        q_TND: Digests,
        places: Sequence[Sequence[int]],
        counts: Sequence[int],
    ) -> Part:
        """[T, U, 1] and [T, U] of zeros."""
        return Part(np.zeros_like(q_TND), np.zeros(q_TND.shape[:2], dtype=np.float32))

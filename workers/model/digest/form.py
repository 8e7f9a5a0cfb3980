"""Digests of keys at a memory server, and what queries find over them: in the place of
`workers.model.parts.kv_form.KvForm`.
"""

from collections.abc import Sequence

import numpy as np

from workers.model.digest.cache import DigestCache
from workers.model.digest.mixing import Digests
from workers.model.digest.sight import over_spans, pairs_of, parts_of
from workers.model.digest.unit_form import UnitForm
from workers.model.parts.partial import Part


class DigestForm(UnitForm):
    """Declared work is that of the real model; its log-sum-exp says nothing here, and is zero."""

    def cache(  # type: ignore[override]
        self, num_blocks: int, num_layers: int | None = None
    ) -> DigestCache:
        """Raises MemoryError where they are too many."""
        layers = self._num_layers if num_layers is None else num_layers
        return DigestCache(num_blocks, self.block_size, layers, self._units)

    def attend_all(  # type: ignore[override]
        self,
        cache: DigestCache,
        layer: int,
        q_TND: Digests,
        places: Sequence[Sequence[int]],
        counts: Sequence[int],
    ) -> Part:
        """Terms of some whole blocks, which every query sees, [T, U, 1]: counts[s] queries of
        sequence s over the blocks at places[s].
        """
        queries_TU = q_TND[:, :, 0]
        spans = [cache.spans_of(list(held)) for held in places]
        sizes = np.array([len(one) for one in spans])
        numbers_T = np.repeat(sizes, counts)
        firsts_T = np.repeat(np.cumsum(sizes) - sizes, counts)
        rows = np.flatnonzero(numbers_T)
        found = np.zeros(queries_TU.shape, dtype=np.uint64)
        if rows.size:
            numbers, firsts = numbers_T[rows], firsts_T[rows]
            runs = [pairs_of(firsts[b:e], numbers[b:e], b) for b, e in parts_of(numbers)]
            whole = cache.whole(layer, np.concatenate(spans))
            found[rows] = over_spans(whole, tuple(runs), queries_TU[rows])
        return Part(found[:, :, None], np.zeros(queries_TU.shape, dtype=np.float32))

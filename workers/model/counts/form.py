"""Keys that are not kept, at a memory server: in the place of `workers.model.digest.form`."""

from collections.abc import Sequence

import numpy as np

from configs.model_config import ModelConfig
from configs.precision import Precision
from workers.model.counts.cache import NoKeys
from workers.model.digest.mixing import Digests
from workers.model.digest.shape import kv_units
from workers.model.parts.kv_form import KvForm
from workers.model.parts.partial import Part


class CountedForm(KvForm):
    """Declared work is that of the real model."""

    query_dtype = np.dtype(np.uint64)  # type: ignore[assignment]

    def __init__(self, config: ModelConfig, precision: Precision, block_size: int) -> None:
        super().__init__(config, precision, block_size)
        self._units, self._num_layers = kv_units(config), config.num_layers

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

    @property
    def query_shape(self) -> tuple[int, int]:
        return self._units, 1

"""What stands for keys at a memory server where hidden states are digests, or nothing: in the place
of `workers.model.parts.kv_form.KvForm`, whose declared work, that of the real model, it keeps.
"""

import numpy as np

from configs.model_config import ModelConfig
from configs.precision import Precision
from workers.model.digest.shape import kv_units
from workers.model.parts.kv_form import KvForm


class UnitForm(KvForm):
    """A query is one number of 64 bits for each unit of KV."""

    query_dtype = np.dtype(np.uint64)  # type: ignore[assignment]

    def __init__(self, config: ModelConfig, precision: Precision, block_size: int) -> None:
        super().__init__(config, precision, block_size)
        self._units, self._num_layers = kv_units(config), config.num_layers

    @property
    def query_shape(self) -> tuple[int, int]:
        return self._units, 1

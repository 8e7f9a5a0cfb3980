"""KV of whole pieces in other numbers, for chips on the kernels."""

import numpy as np
from numpy.typing import NDArray

from configs.block_form import BlockForm
from configs.model_config import ModelConfig
from configs.precision import KvKind, Precision
from kernels import mla
from kernels.numbers import quiet
from kernels.paged.layout import Layout, Span
from workers.model.parts.kv_form import KvForm


class KvConversion:
    """Of one model. Narrowing rounds what the wider numbers hold: bf16 to the nearest (a part in
    256), int8 to the nearest of 127 steps up to the largest of a head's key or value; widening
    changes nothing.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config

    @property
    def planes(self) -> int:
        """Of a block's bytes (`workers.kv.pieces`)."""
        config = self._config
        return config.num_layers * (1 if config.mla is not None else config.num_kv_heads)

    @quiet
    def __call__(
        self, pieces: NDArray[np.uint8], form: BlockForm, numbers: KvKind
    ) -> NDArray[np.uint8]:
        """[piece, bytes]. Raises ValueError where the bytes do not fit."""
        num, config = len(pieces), self._config
        source, target = (
            KvForm(config, Precision("bf16", kind), form.size).cache(num)
            for kind in (form.numbers, numbers)
        )
        ids = np.arange(num)
        source.write_blocks(ids, np.ascontiguousarray(pieces))
        slots = Layout([Span(0, num * form.size, ids)]).slots(form.size)
        for layer in range(config.num_layers):
            found = [source.read(layer, block) for block in range(num)]
            first, second = (np.concatenate(each) for each in zip(*found, strict=True))
            if isinstance(target, mla.LatentCache):
                target.write(layer, *slots, first, second)
            else:
                target.write(layer, *slots, first, second)
        return target.read_blocks(ids)

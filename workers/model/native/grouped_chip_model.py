"""A chip's part of a model with grouped-query attention whose keys may be elsewhere, on the
kernels.
"""

from configs.precision import Precision
from kernels import attention
from workers.model.native.composed_chip import ComposedChip
from workers.model.native.grouped_attention import GroupedAttention
from workers.model.parts.dense import Read


class GroupedChipModel(ComposedChip[attention.KvCache]):
    """Constructed as `ComposedChip` is."""

    def _attention(self, layer: int, read: Read, precision: Precision) -> GroupedAttention:
        return GroupedAttention(self.config, layer, read, precision, self._cache, self._rope)

"""A chip's part of a model with latent attention (DeepSeek) on the kernels."""

from configs.precision import Precision
from kernels import mla
from workers.model.native.composed_chip import ComposedChip
from workers.model.native.latent_attention import LatentAttention
from workers.model.parts.dense import Read


class LatentChipModel(ComposedChip[mla.LatentCache]):
    """Constructed as `ComposedChip` is; raises ValueError for a model without latents as well."""

    def _attention(self, layer: int, read: Read, precision: Precision) -> LatentAttention:
        if self.config.mla is None:
            raise ValueError(f"{self.config.architecture} has no latent attention")
        return LatentAttention(
            self.config, self.config.mla, layer, read, precision, self._cache, self._rope
        )

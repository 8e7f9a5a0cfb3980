"""A chip's part of a model with latent attention (DeepSeek) on the kernels."""

from pathlib import Path

from configs.families import load_model
from configs.precision import Precision
from kernels import mla
from workers.model.native.composed_chip import ComposedChip
from workers.model.native.latent_attention import LatentAttention
from workers.model.parts.dense import Read
from workers.model.work import WorkModel


class LatentChipModel(ComposedChip[mla.LatentCache]):
    """Constructed as `ComposedChip` is; raises ValueError for a model without latents as well."""

    def __init__(
        self,
        folder: str | Path,
        num_blocks: int,
        block_size: int,
        work: WorkModel | None,
        precision: Precision,
    ) -> None:
        config = load_model(folder)
        if config.mla is None:
            raise ValueError(f"{config.architecture} has no latent attention")
        self._sizes = config.mla
        super().__init__(folder, num_blocks, block_size, work, precision)

    def _attention(self, layer: int, read: Read, precision: Precision) -> LatentAttention:
        return LatentAttention(
            self.config, self._sizes, layer, read, precision, self._cache, self._rope
        )

"""What any chip of the plain model has: embedding, its heads of its layers, its KV blocks, logits.

The KV cache is paged: a block holds `block_size` tokens of all layers, in the layout in which
blocks travel. Bits do not depend on batch, chunking or blocks (see rows.py and plan.py).

Letters: T tokens of the step, H hidden, R rows wanted, V vocabulary.
"""

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.parts import Part
from configs.precision import EXACT
from configs.slices import Slice
from kernels.numbers import quiet
from workers.hardware.work import Work
from workers.model.base import StepLayout
from workers.model.checkpoint import Checkpoint
from workers.model.embedding import Embedding
from workers.model.parts.dense import Read
from workers.model.parts.rows import (
    Floats,
    check_tiles,
    linear,
    one_thread,
    rms_norm,
    transposed,
)
from workers.model.plain.heads import cut
from workers.model.plain.layer import Layer, make_cache, make_rope, merge
from workers.model.plain.plan import StepPlan, plan_step
from workers.model.plans import Plans
from workers.model.tensors import chip_shapes, layer_shapes
from workers.model.work import WorkModel


class PlainPart:
    """Everything of a chip but the program of a layer. Hidden states are [T, H] float32 arrays.

    num_blocks   KV blocks of this chip        block_size   tokens in a block
    work         how work is counted; fp32 in "hbm" where left out
    part         layers and heads that are held here; all where left out
    config       sizes of what is held here

    Layers have the numbers of the whole model, wherever they are named.

    Raises CheckpointError where the folder does not fit, ValueError where heads cannot be split.
    """

    def __init__(
        self,
        folder: str | Path,
        num_blocks: int,
        block_size: int = 16,
        work: WorkModel | None = None,
        part: Part | None = None,
    ) -> None:
        if num_blocks < 1 or block_size < 1:
            raise ValueError(
                f"num_blocks is {num_blocks}, block_size {block_size}; both must be at least 1"
            )
        one_thread()
        whole = load_model(folder)
        self.part = part = part or Part(0, whole.num_layers)
        self.config = config = part.of(whole)
        self.num_blocks = num_blocks
        self.block_size = block_size
        # Work is counted by the layers' numbers in the whole model: the first one embeds.
        held = replace(part, first_layer=0, num_layers=whole.num_layers).of(whole)
        self._work = replace(work or WorkModel(held), config=held)
        self._slice = Slice.of(part.heads, block_size)
        self._cache = make_cache(config, num_blocks, self._slice.tokens)
        self._rope = make_rope(config, min(config.max_context, num_blocks * block_size))
        with Checkpoint(folder, whole.fp8) as checkpoint:
            shapes = dict(chip_shapes(whole))

            def read(name: str) -> Floats:
                return checkpoint.read(name, shapes[name])

            if part.embeds:
                self._embedding = Embedding(read("model.embed_tokens.weight"), EXACT)
            if part.projects:
                self._norm = read("model.norm.weight")
                tied = "model.embed_tokens.weight" if config.tie_embeddings else "lm_head.weight"
                self._head = transposed(read(tied))
            place = self._cache, self._rope
            self._layers = tuple(
                Layer(config, number, _layer_reader(checkpoint, whole, layer, part), *place)
                for number, layer in enumerate(part.layers)
            )
        heads = [self._head] if part.projects else []
        check_tiles(chain(heads, *(layer.matrices for layer in self._layers)))
        self._plans = Plans(self._new_plan)

    @property
    def block_bytes(self) -> int:
        """Bytes of one KV block over all layers."""
        return self._cache.block_bytes

    @property
    def kv_tier(self) -> str:
        return self._work.kv_tier

    def embed(self, token_ids_T: NDArray[np.int64]) -> Floats:
        """[T, H]. Raises ValueError on ids outside the vocabulary."""
        return self._embedding.rows(token_ids_T)

    def merge(self, x: Floats, sums_TH: NDArray[Any]) -> Floats:
        """Residual plus what was summed up: one rounding, from float64."""
        return merge(x, sums_TH)

    @quiet
    def logits(self, x: Floats, rows_R: NDArray[np.int64]) -> Floats:
        """[R, V] float32."""
        return linear(rms_norm(x[rows_R], self._norm, self.config.rms_eps), self._head)

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]:
        """Copies, float32: [block, layer, 2 (k, v), block_size, kv_head, head_dim], or with latent
        attention [block, layer, block_size, latent and rotated key].
        """
        return self._cache.read_blocks(block_ids)

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        """The reverse of `read_blocks`. Raises ValueError where the shape does not fit."""
        self._cache.write_blocks(block_ids, blocks)

    def write_part(self, block_ids: tuple[int, ...], part: Part, blocks: NDArray[Any]) -> None:
        """Some layers and heads of blocks, of those that are here. Raises ValueError where the
        shape does not fit.
        """
        self._cache.write_window(block_ids, self.part.window_of(part), blocks)

    def attend_work(self, layer: int, layout: StepLayout) -> Work:
        return self._work.attend(layer, layout)

    def _layer(self, layer: int) -> Layer:
        return self._layers[layer - self.part.first_layer]

    def logits_work(self, num_rows: int) -> Work:
        return self._work.logits(num_rows)

    def _new_plan(self, layout: StepLayout) -> StepPlan:
        for sequence in layout.sequences:
            self._cache.check_ids(sequence.block_ids)
        plan = plan_step(layout, self.block_size, self._cache.row_width, self._slice)
        if plan.positions_T.size and plan.positions_T.max() >= self._rope.positions:
            raise ValueError(
                f"position {plan.positions_T.max()} is past the context of "
                f"{self._rope.positions} tokens"
            )
        return plan


def _layer_reader(checkpoint: Checkpoint, config: ModelConfig, layer: int, part: Part) -> Read:
    """Tensors of one layer by their names in it, cut to the heads held."""
    shapes = dict(layer_shapes(config, layer))

    def read(name: str) -> Floats:
        tensor = checkpoint.read(f"model.layers.{layer}.{name}", shapes[name])
        return tensor if part.heads is None else cut(part.heads, config, name, tensor)

    return read

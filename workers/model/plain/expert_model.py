"""Some experts of every sparse layer of a model, in exact mode.

Letters: T tokens, H hidden, K experts a token.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.families import load_model
from configs.model_config import ModelConfig
from kernels.numbers import quiet
from workers.model.checkpoint import Checkpoint
from workers.model.parts.dense import GatedMlp
from workers.model.parts.held_experts import HeldExperts
from workers.model.parts.rows import (
    Floats,
    check_tiles,
    on_grid,
    one_thread,
)
from workers.model.tensors import expert_shapes
from workers.model.work import WorkModel


class PlainExpertModel(HeldExperts):
    """ExpertModel for one Hugging Face folder, fp32. Reads the weights of its own experts only.

    expert_ids   which experts, of every sparse layer; kept in ascending order
    work         how work is counted; fp32 in "hbm" where left out

    Raises CheckpointError where the folder does not fit, ValueError on ids that the model has not.
    """

    def __init__(
        self, folder: str | Path, expert_ids: tuple[int, ...], work: WorkModel | None = None
    ) -> None:
        one_thread()
        config = load_model(folder)
        super().__init__(config, expert_ids, work or WorkModel(config))
        self._ids = np.array(self.expert_ids, dtype=np.int32)
        with Checkpoint(folder, config.fp8) as checkpoint:
            self._layers = {
                layer: tuple(_read_expert(checkpoint, config, layer, e) for e in self.expert_ids)
                for layer in range(config.dense_layers, config.num_layers)
            }
        check_tiles(w for experts in self._layers.values() for e in experts[:1] for w in e.matrices)

    @quiet
    def forward(
        self,
        layer: int,
        hidden_TH: Floats,
        experts_TK: NDArray[np.int32],
        weights_TK: Floats,
    ) -> NDArray[np.float64]:
        """Weighted sum over the experts held, [T, H]; all other ids add nothing.

        The sum is a multiple of 1 / GRID (rows.py): adding the sums of several shards is exact in
        any order, so the result does not depend on how experts are placed. Raises ValueError on a
        layer that has no experts.
        """
        if layer not in self._layers:
            first, last = self.config.dense_layers, self.config.num_layers - 1
            raise ValueError(f"layer {layer} has no experts; it must be from {first} to {last}")
        sums_TH = np.zeros(hidden_TH.shape, dtype=np.float64)
        flat = experts_TK.ravel()
        order = np.argsort(flat, kind="stable")
        ordered = flat[order]
        begins = np.searchsorted(ordered, self._ids, side="left").tolist()
        ends = np.searchsorted(ordered, self._ids, side="right").tolist()
        tokens, weights = order // max(experts_TK.shape[1], 1), weights_TK.ravel()[order]
        for expert, begin, end in zip(self._layers[layer], begins, ends, strict=True):
            if begin == end:
                continue
            rows = tokens[begin:end]
            out = expert.forward(hidden_TH[rows])
            share = np.multiply(out, weights[begin:end, None], dtype=np.float64)
            # A token names an expert once, so no row occurs twice and the addition is complete.
            sums_TH[rows] += on_grid(share)
        return sums_TH


def _read_expert(checkpoint: Checkpoint, config: ModelConfig, layer: int, expert: int) -> GatedMlp:
    shapes = dict(expert_shapes(config, layer, expert))
    prefix = f"model.layers.{layer}.mlp.experts.{expert}."
    return GatedMlp.read(lambda name: checkpoint.read(name, shapes[name]), prefix)

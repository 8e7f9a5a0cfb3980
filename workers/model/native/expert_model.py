"""Some experts of every sparse layer, on the kernels.

Letters: T tokens, H hidden, K experts a token.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.families import load_model
from configs.precision import EXACT, Precision
from kernels import moe
from workers.model.checkpoint import Checkpoint
from workers.model.parts.held_experts import HeldExperts
from workers.model.tensors import expert_shapes
from workers.model.work import WorkModel


class NativeExpertModel(HeldExperts):
    """ExpertModel for one Hugging Face folder. Reads the weights of its own experts only.

    expert_ids   which experts, of every sparse layer; kept in ascending order
    precision    in what numbers; in fp32 the sums of several shards add exactly, in any order

    Raises CheckpointError where the folder does not fit, ValueError on ids that the model has not.
    """

    def __init__(
        self,
        folder: str | Path,
        expert_ids: tuple[int, ...],
        work: WorkModel | None = None,
        precision: Precision = EXACT,
    ) -> None:
        config = load_model(folder)
        super().__init__(config, expert_ids, work or WorkModel(config, precision))
        with Checkpoint(folder, config.fp8) as checkpoint:
            self.layers = {
                layer: self._read_layer(checkpoint, layer, precision)
                for layer in range(config.dense_layers, config.num_layers)
            }

    def forward(
        self,
        layer: int,
        hidden_TH: NDArray[np.float32],
        experts_TK: NDArray[np.int32],
        weights_TK: NDArray[np.float32],
    ) -> NDArray[Any]:
        """Weighted sum over the experts held, [T, H]; all other ids add nothing.

        float64 multiples of 2^-32 in exact mode, else float32. Raises ValueError on a layer that
        has no experts.
        """
        if layer not in self.layers:
            first, last = self.config.dense_layers, self.config.num_layers - 1
            raise ValueError(f"layer {layer} has no experts; it must be from {first} to {last}")
        return moe.forward(self.layers[layer], hidden_TH, experts_TK, weights_TK)

    def _read_layer(self, checkpoint: Checkpoint, layer: int, precision: Precision) -> moe.Experts:
        config = self.config
        experts = moe.Experts(
            precision.weights,
            len(self.expert_ids),
            config.hidden,
            config.moe_intermediate,
            self.expert_ids,
        )
        for slot, expert in enumerate(self.expert_ids):
            gate, up, down = (
                checkpoint.read(name, shape) for name, shape in expert_shapes(config, layer, expert)
            )
            experts.set(slot, gate, up, down)
        return experts

"""Experts whose weights are shipped to whoever computes them: as they travel, and computed from
that by the kernels that compute them beside their memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.precision import EXACT, Precision
from kernels import moe
from kernels.native import lib
from workers.hardware.work import Work
from workers.model.checkpoint import Checkpoint
from workers.model.program import Rows
from workers.model.tensors import expert_shapes

Flat = NDArray[np.float32]


class NoKernels(ValueError):
    """Shipped experts are computed by the kernels alone."""


def check_kernels(precision: Precision) -> None:
    """Raises NoKernels where experts beside their memory are computed by other code."""
    if precision.exact and lib is None:
        raise NoKernels(
            "placement.experts.mode: is 'ship', which needs the native kernels, and they are not "
            "built here: make install, or leave it near"
        )


@dataclass(frozen=True, slots=True)
class ExpertSizes:
    """What one expert is as it travels.

    tier   of the chip's memory: weights are written there when they come, and read once
    """

    config: ModelConfig
    precision: Precision = EXACT
    tier: str = "hbm"

    @property
    def num_values(self) -> int:
        return 3 * self.config.hidden * self.config.moe_intermediate

    def bytes_between(self, begin: int, end: int) -> int:
        """What values `begin` to before `end` take in the model's numbers: those of all pieces are
        those of the expert.
        """
        whole = self.precision.expert_bytes(self.config)
        return whole * end // self.num_values - whole * begin // self.num_values

    def piece(self, weights: NDArray[Any], begin: int, end: int) -> NDArray[Any]:
        """Values `begin` to before `end` of an expert, as a shard ships them."""
        return weights[begin:end]

    def buffer(self) -> NDArray[Any]:
        """For the pieces of one expert, until all are there."""
        return np.empty(self.num_values, np.float32)

    def put(self, buffer: NDArray[Any], begin: int, piece: NDArray[Any]) -> None:
        """The piece from `begin` on is there."""
        buffer[begin : begin + len(piece)] = piece

    def work(self, num_pairs: int, num_experts: int) -> Work:
        """Of a chip that was sent so many experts, and computes so many pairs of a token and an
        expert.
        """
        config, num_bytes = self.config, num_experts * self.precision.expert_bytes(self.config)
        flops = 6 * num_pairs * config.hidden * config.moe_intermediate
        return Work.of(
            "experts",
            flops={self.precision.arithmetic: flops},
            reads={self.tier: num_bytes},
            writes={self.tier: num_bytes},
        )

    def forward(
        self,
        weights: Mapping[int, NDArray[Any]],
        hidden_TH: Rows,
        experts_TK: NDArray[np.int32],
        weights_TK: NDArray[np.float32],
    ) -> NDArray[Any]:
        """As `ExpertModel.forward` of a shard that holds these experts."""
        config = self.config
        ids = tuple(sorted(weights))
        hidden, inner = config.hidden, config.moe_intermediate
        experts = moe.Experts(self.precision.weights, len(ids), hidden, inner, ids)
        for slot, expert in enumerate(ids):
            gate, up, down = np.split(weights[expert], 3)
            shapes = (inner, hidden), (inner, hidden), (hidden, inner)
            parts = (part.reshape(s) for part, s in zip((gate, up, down), shapes, strict=True))
            experts.set(slot, *parts)
        return moe.forward(experts, hidden_TH, experts_TK, weights_TK)


def read_flat(
    folder: str | Path, expert_ids: tuple[int, ...]
) -> tuple[ModelConfig, dict[tuple[int, int], Flat]]:
    """(layer, expert) -> its weights as they travel, of every sparse layer. Raises CheckpointError
    where the folder does not fit.
    """
    config = load_model(folder)
    with Checkpoint(folder, config.fp8) as checkpoint:
        found = {
            (layer, expert): np.concatenate(
                [
                    checkpoint.read(name, shape).reshape(-1)
                    for name, shape in expert_shapes(config, layer, expert)
                ]
            )
            for layer in range(config.dense_layers, config.num_layers)
            for expert in expert_ids
        }
    for values in found.values():
        values.flags.writeable = False  # views of it travel
    return config, found

"""A chip's part and all experts as one model, for a chip that holds both: a step is one call."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.hardware.work import Work
from workers.model.base import ChipModel, ExpertModel, Hidden, MoeInput, StepLayout


class JoinedModel:
    """WholeModel of two models that know nothing of each other; the numbers are theirs, to the bit.

    Raises ValueError unless `experts` holds every expert of the model.
    """

    steps_whole = True

    def __init__(self, chip: ChipModel, experts: ExpertModel) -> None:
        held, num_experts = len(experts.expert_ids), chip.config.num_experts
        if held != num_experts:
            raise ValueError(
                f"the experts here are {held} of {num_experts}: a whole step needs all of them"
            )
        self._chip, self._experts = chip, experts
        self.config = chip.config
        self.block_size, self.num_blocks = chip.block_size, chip.num_blocks

    def step(self, x: Hidden, layout: StepLayout) -> Hidden:
        """All layers, experts included."""
        for layer in range(self.config.num_layers):
            x, moe = self._chip.attend(layer, x, layout)
            if moe is None:  # a dense layer
                continue
            sums_TH = self._experts.forward(layer, moe.hidden_TH, moe.experts_TK, moe.weights_TK)
            x = self._chip.merge(x, sums_TH)
        return x

    @property
    def block_bytes(self) -> int:
        return self._chip.block_bytes

    @property
    def kv_tier(self) -> str:
        return self._chip.kv_tier

    def embed(self, token_ids_T: NDArray[np.int64]) -> Hidden:
        return self._chip.embed(token_ids_T)

    def attend(self, layer: int, x: Hidden, layout: StepLayout) -> tuple[Hidden, MoeInput | None]:
        return self._chip.attend(layer, x, layout)

    def merge(self, x: Hidden, sums_TH: NDArray[np.float64]) -> Hidden:
        return self._chip.merge(x, sums_TH)

    def logits(self, x: Hidden, rows_R: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._chip.logits(x, rows_R)

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]:
        return self._chip.read_blocks(block_ids)

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        self._chip.write_blocks(block_ids, blocks)

    def attend_work(self, layer: int, layout: StepLayout) -> Work:
        return self._chip.attend_work(layer, layout)

    def logits_work(self, num_rows: int) -> Work:
        return self._chip.logits_work(num_rows)

"""Which experts the next layer will ask for, before it is computed: its gate applied to the rows
that enter this layer's experts.

The residual stream changes little from layer to layer, so the next gate chooses from these rows
much what it will choose from its own (Eliseev and Mazur 2023, "Fast Inference of Mixture-of-Experts
Language Models with Offloading", section 3.2; MoE-Infinity and Fate build on the same). It is a
guess: what is computed never depends on it.

Letters: T tokens, H hidden, E experts, K experts a token.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.families import load_model
from workers.hardware.work import Work
from workers.model.checkpoint import Checkpoint
from workers.model.parts.gating import Gating
from workers.model.parts.rows import Floats, linear, transposed
from workers.model.tensors import chip_shapes


class Pregate:
    """Gates of all sparse layers but the first, in fp32.

    tier   where the chip's weights lie, the gates among them

    Raises CheckpointError where the folder does not fit.
    """

    def __init__(self, folder: str | Path, tier: str) -> None:
        self._config = config = load_model(folder)
        self._tier = tier
        shapes = dict(chip_shapes(config))
        self._gates: dict[int, tuple[Floats, Gating]] = {}
        with Checkpoint(folder, config.fp8) as checkpoint:
            for layer in range(config.dense_layers + 1, config.num_layers):
                prefix = f"model.layers.{layer}.mlp.gate."
                bias_E = None
                if config.gate.has_bias:
                    name = f"{prefix}e_score_correction_bias"
                    bias_E = checkpoint.read(name, shapes[name])
                gate_EH = checkpoint.read(f"{prefix}weight", shapes[f"{prefix}weight"])
                choice = Gating(config.gate, bias_E, config.top_k, config.norm_topk_prob)
                self._gates[layer] = transposed(gate_EH), choice

    def knows(self, layer: int) -> bool:
        """Whether a layer's experts can be guessed from the one before."""
        return layer in self._gates

    def work(self, num_tokens: int) -> Work:
        """Of one layer: its gate is read once, and multiplied with each row."""
        size = self._config.num_experts * self._config.hidden
        return Work.of(
            "pregate", flops={"fp32": 2 * num_tokens * size}, reads={self._tier: 4 * size}
        )

    def guess(self, layer: int, rows_TH: Floats) -> NDArray[np.int32]:
        """Experts that `layer` will ask for, those of most tokens first, then by id, [n] int32.
        `rows_TH` entered the experts of the layer before.
        """
        gate_HE, choice = self._gates[layer]
        experts_TK, _ = choice.choose(linear(rows_TH, gate_HE))
        counts_E = np.bincount(experts_TK.ravel(), minlength=self._config.num_experts)
        order = np.argsort(-counts_E, kind="stable")
        return order[counts_E[order] > 0].astype(np.int32)

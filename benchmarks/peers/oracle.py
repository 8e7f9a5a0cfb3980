"""What the tokens should have been, and what a step had to read: the fp32 reference, after the run.

The reference reads what an engine was given and has answered, and gives at every position its own
logits and experts. So the timed answers themselves are checked, and the bytes of a step are those
of the experts that this very run named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from workers.model.base import StepLayout, StepSequence
from workers.model.forward import forward
from workers.model.local import run_here
from workers.model.program import Rows, Sums
from workers.model.reference import Reference

BF16_BYTES = 2
BLOCK_SIZE = 16


@dataclass(frozen=True)
class Followed:
    """One sequence beside the reference, for each of its G generated tokens.

    experts   [G - 1, L, K] of the steps that read a generated token: decode steps
    regrets   [G] the reference's best logit minus its logit of the engine's token; 0: the same
    """

    experts: NDArray[np.int64]
    regrets: NDArray[np.float32]


class Oracle:
    """The reference over one folder, for sequences of up to `max_tokens`."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self._reference = Reference(folder, BLOCK_SIZE, max_tokens)
        self.config = self._reference.config

    def follow(self, prompt: Sequence[int], generated: Sequence[int]) -> Followed:
        """Raises ValueError where nothing was generated or the sequence is too long."""
        reference, count = self._reference, len(generated)
        token_ids = np.array([*prompt, *generated[:-1]], dtype=np.int64)
        if count < 1 or len(token_ids) > reference.max_context:
            raise ValueError(
                f"a sequence of {len(prompt)} and {count} generated tokens; at least one must be "
                f"generated, and all but the last must fit {reference.max_context}"
            )
        blocks = tuple(range(-(-len(token_ids) // BLOCK_SIZE)))
        layout = StepLayout((StepSequence(blocks, 0, len(token_ids)),))
        experts = []

        def noted(layer: int, rows_T: Rows, ids_TK: Any, weights_TK: Any) -> Sums:
            experts.append(np.asarray(ids_TK)[len(prompt) :])
            return reference.experts.forward(layer, rows_T, ids_TK, weights_TK)

        embed = partial(reference.chip.embed, token_ids)
        x = run_here(forward(reference.chip, embed, layout), noted)()
        logits = reference.chip.logits(x, np.arange(len(prompt) - 1, len(token_ids)))
        chosen = logits[np.arange(count), np.asarray(generated)]
        return Followed(np.stack(experts, axis=1), logits.max(axis=1) - chosen)


def distinct_experts(sequences: Sequence[Followed]) -> float:
    """Mean number of distinct experts of a layer that one decode step of all sequences visits."""
    experts = np.stack([one.experts for one in sequences], axis=2)  # [steps, L, sequences, K]
    steps, layers = experts.shape[:2]
    flat = np.sort(experts.reshape(steps, layers, -1), axis=2)
    return float((np.diff(flat, axis=2) != 0).sum(axis=2).mean() + 1)


def step_bytes(config: ModelConfig, sequences: int, experts: float, context: float) -> float:
    """Bytes that a decode step must read, bf16.

    experts   distinct experts of a layer        context   mean tokens in a sequence's cache

    Every layer's attention, norms and gate, the distinct experts, the final norm and the head, and
    of each sequence a row of the embedding and its cached keys and values.
    """
    layers = sum(config.layer_bytes(layer, BF16_BYTES) for layer in range(config.num_layers))
    visited = config.num_sparse_layers * experts * config.expert_bytes(BF16_BYTES)
    ends = config.head_bytes(BF16_BYTES) + config.hidden * BF16_BYTES
    rows = config.hidden * BF16_BYTES + context * config.kv_bytes_per_token(BF16_BYTES)
    return layers + visited + ends + sequences * rows

"""The router's gate: which experts each token visits, and with what weight.

Letters: T tokens, E experts, K experts a token.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.gate import Gate
from workers.model.parts.rows import Floats, softmax_in_place

# Weights that sum to less than this are as good as none; the value is transformers' and DeepSeek's.
# It is far below what a sum of softmax's K largest can be, so it changes no bit of those.
NO_WEIGHT = np.float32(1e-20)


@dataclass(frozen=True, slots=True)
class Gating:
    """One layer's choice, from its experts' logits.

    bias_E      added to the scores for the choice alone; None where there is none
    normed      the chosen weights are scaled to sum to one, before the gate's own scaling
    """

    gate: Gate
    bias_E: Floats | None
    top_k: int
    normed: bool

    def choose(self, logits_TE: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Experts [T, K] int32, best first and lowest id first on ties, and weights [T, K]. The
        logits are overwritten.
        """
        scores_TE = _sigmoid(logits_TE) if self.gate.has_bias else softmax_in_place(logits_TE)
        choice_TE = scores_TE if self.bias_E is None else scores_TE + self.bias_E
        if self.gate.groups_kept < self.gate.num_groups:
            choice_TE = best_groups(choice_TE, self.gate)
        experts_TK = np.argsort(-choice_TE, axis=-1, kind="stable")[:, : self.top_k]
        weights_TK = np.take_along_axis(scores_TE, experts_TK, axis=-1)
        if self.normed:
            weights_TK /= np.add.reduce(weights_TK, axis=-1, keepdims=True) + NO_WEIGHT
        weights_TK *= np.float32(self.gate.scaling)
        return experts_TK.astype(np.int32), weights_TK


def best_groups(choice_TE: Floats, gate: Gate) -> Floats:
    """A copy with -inf for every expert outside the best groups: no score is as low."""
    grouped = choice_TE.reshape(choice_TE.shape[0], gate.num_groups, -1)
    best = np.sort(grouped, axis=-1)[..., -gate.group_best :]
    order = np.argsort(-np.add.reduce(best, axis=-1), axis=-1, kind="stable")
    kept = np.zeros(order.shape, dtype=np.bool_)
    np.put_along_axis(kept, order[:, : gate.groups_kept], True, axis=-1)
    limited: Floats = np.where(kept[..., None], grouped, np.float32(-np.inf))
    return limited.reshape(choice_TE.shape)


def _sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)). exp overflows to infinity where the result is zero: the right limit."""
    with np.errstate(over="ignore"):
        out = np.exp(-x)
    out += np.float32(1.0)
    return np.divide(np.float32(1.0), out, out=out)

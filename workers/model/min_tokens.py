"""No end before `min_tokens`: until then an answer's end tokens are not chosen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.model.sampling_params import SamplingParams


def held_back(params: SamplingParams, num_outputs: int, eos: Sequence[int]) -> tuple[int, ...]:
    """Tokens that would end an answer which has `num_outputs` so far, and may not yet. With
    `ignore_eos` the model's end tokens are like others.
    """
    if num_outputs >= params.min_tokens:
        return ()
    return params.stop_token_ids if params.ignore_eos else (*params.stop_token_ids, *eos)


def without(logits_RV: NDArray[np.float32], held: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """The logits, where of each row the tokens `held` back cannot be chosen; but where a constraint
    lets nothing else come, they may.
    """
    if not any(held):
        return logits_RV
    allowed_RV = np.array(logits_RV, dtype=np.float32)
    vocab = allowed_RV.shape[1]
    for row, ids in enumerate(held):
        allowed_RV[row, [token_id for token_id in ids if token_id < vocab]] = -np.inf
        if ids and allowed_RV[row].max() == -np.inf:
            allowed_RV[row] = logits_RV[row]
    return allowed_RV

"""Choosing one token for each row of logits: greedy, temperature, top-k, top-p.

    ids_R, margins_R = sampling.choose(logits_RV, temperatures_R, top_ks_R, top_ps_R, uniforms_R)

The definition, the same on every machine, for one row. Tokens stand in order: largest logit first,
lowest id first where logits are equal. Temperature 0 takes the first. Otherwise a token weighs
w = floor(exp((logit - largest) * (1 / temperature)) * 2^44), an integer, so sums do not depend on
their order; exp is the polynomial of ref.py. What is about 30.5 temperatures below the largest
logit, or -infinity, weighs 0 and is never chosen.

1. top_k > 0 keeps the first top_k tokens.
2. top_p < 1 keeps the shortest prefix of these that weighs at least ceil(top_p * total), total
   being the weight of all that top_k kept; at least one token, and not more than all.
3. The token is the first whose cumulative weight is above min(floor(uniform * kept), kept - 1),
   kept being the weight of what is left.

The two products are in float64. Letters: R rows, V vocabulary.
"""

import numpy as np
from numpy.typing import NDArray

from kernels.native import lib
from kernels.numbers import Floats
from kernels.sampling import ref

Doubles = NDArray[np.float64]


def choose(
    logits_RV: Floats,
    temperatures_R: Doubles,
    top_ks_R: NDArray[np.int64],
    top_ps_R: Doubles,
    uniforms_R: Doubles,
) -> tuple[NDArray[np.int64], Doubles]:
    """Token ids [R] int64 and margins [R] float64: each row's largest minus second largest logit.

    logits_RV is float32 whose rows lie without gaps, V at most ref.VOCAB_MAX; temperatures, top_p
    and uniforms are float64, top_k int64 (0: all). Rows of temperature 0 look at nothing else. The
    margin is 0 where two logits are the largest, infinite where V is 1. Raises ValueError, naming
    the row: on NaN, with the lowest token that has it; where a row to be sampled has an infinite
    largest logit; on parameters out of range and on shapes that do not fit.
    """
    if lib is None:
        return ref.choose(logits_RV, temperatures_R, top_ks_R, top_ps_R, uniforms_R)
    ids = np.empty(len(logits_RV), dtype=np.int64)
    margins = np.empty(len(logits_RV), dtype=np.float64)
    lib.sampling_choose(logits_RV, temperatures_R, top_ks_R, top_ps_R, uniforms_R, ids, margins)
    return ids, margins

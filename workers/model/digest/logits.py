"""From a token's last digest to logits over the vocabulary.

A digest names CANDIDATES tokens and a logit for each; every other token has FLOOR, which no
temperature up to 2 brings within reach of a chance of 53 bits. So greedy choice, temperature,
top-k, top-p, penalties and constraints all mean what they mean elsewhere.
"""

import numpy as np
from numpy.typing import NDArray

from workers.model.digest.mixing import Digests, mixed, stepped

CANDIDATES = 16
FLOOR = -10_000.0
# A candidate's logit: 24 bits as a number from 0 to below 16, exact in fp32.
_LOGIT_BITS, _LOGIT_SCALE = np.uint64(0xFFFFFF), np.float32(2.0**-20)
_ID_SHIFT = np.uint64(32)


def logits_of(last_R: Digests, vocab: int) -> NDArray[np.float32]:
    """[R, V]. Where two candidates are one token, the later one's logit counts."""
    drawn_RC = mixed(last_R[:, None] + stepped(np.arange(1, CANDIDATES + 1)))
    ids_RC = ((drawn_RC >> _ID_SHIFT) % np.uint64(vocab)).astype(np.int64)
    values_RC = (drawn_RC & _LOGIT_BITS).astype(np.float32) * _LOGIT_SCALE
    logits_RV = np.full((len(last_R), vocab), FLOOR, dtype=np.float32)
    rows_R = np.arange(len(last_R))
    for place in range(CANDIDATES):  # in order: of two the later
        logits_RV[rows_R, ids_RC[:, place]] = values_RC[:, place]
    return logits_RV

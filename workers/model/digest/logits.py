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


def most_likely(last_R: Digests, vocab: int) -> NDArray[np.int64]:
    """[R]: the token of the largest of `logits_of`, the lowest id among equals."""
    ids_RC, bits_RC = _candidates(last_R, vocab)
    ordered_RC = np.sort(ids_RC, axis=1)
    best_R = _best(ids_RC, bits_RC)
    for row in np.flatnonzero((ordered_RC[:, 1:] == ordered_RC[:, :-1]).any(axis=1)).tolist():
        last = dict(zip(ids_RC[row].tolist(), bits_RC[row].tolist(), strict=True))
        best_R[row] = max(last, key=lambda token: (last[token], -token))
    return best_R


def _best(ids_RC: NDArray[np.int64], bits_RC: Digests) -> NDArray[np.int64]:
    keys_RC = (bits_RC << _ID_SHIFT) | (np.uint64(0xFFFFFFFF) - ids_RC.astype(np.uint64))
    place_R = keys_RC.argmax(axis=1)
    best_R: NDArray[np.int64] = np.take_along_axis(ids_RC, place_R[:, None], axis=1)[:, 0]
    return best_R


def _candidates(last_R: Digests, vocab: int) -> tuple[NDArray[np.int64], Digests]:
    """[R, CANDIDATES] tokens, and the bits of their logits."""
    drawn_RC = mixed(last_R[:, None] + stepped(np.arange(1, CANDIDATES + 1)))
    ids_RC = ((drawn_RC >> _ID_SHIFT) % np.uint64(vocab)).astype(np.int64)
    return ids_RC, drawn_RC & _LOGIT_BITS


def logits_of(last_R: Digests, vocab: int) -> NDArray[np.float32]:
    """[R, V]. Where two candidates are one token, the later one's logit counts."""
    ids_RC, bits_RC = _candidates(last_R, vocab)
    values_RC = bits_RC.astype(np.float32) * _LOGIT_SCALE
    logits_RV = np.full((len(last_R), vocab), FLOOR, dtype=np.float32)
    rows_R = np.arange(len(last_R))
    for place in range(CANDIDATES):  # in order: of two the later
        logits_RV[rows_R, ids_RC[:, place]] = values_RC[:, place]
    return logits_RV

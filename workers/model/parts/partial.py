"""Attention in parts: each over some of the keys that a query sees, merged by log-sum-exp.

Over keys S a part is    out_S = sum of softmax(scores of S) * values,   lse_S = log sum exp(scores)
and of disjoint S        lse = log sum exp(lse_S),   out = sum of exp(lse_S - lse) * out_S

which is attention over all of them (Milakov and Gimelshein, arXiv 1805.02867; FlashDecoding). So
keys may lie with anyone: queries go out, and one vector and one number a head come back.

Letters: T queries, N heads, D width of what a head mixes, P parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.attention import merge
from kernels.numbers import Floats


@dataclass(frozen=True, slots=True)
class Part:
    """Over some keys: out_TND and lse_TN, float32. A query that saw none has -infinity.

    Of digests out_TND is uint64, and sums are all that merges (`workers.model.digest`).
    """

    out_TND: NDArray[Any]
    lse_TN: Floats


class PartOf(NamedTuple):
    """What somebody else found for some of the queries."""

    rows: NDArray[np.intp]
    part: Part


def merged(own: Part, others: Sequence[PartOf]) -> Floats:
    """All parts as one, [T, N, D]: in float64, `own` first and then in order, rounded once.

    Rows that nobody else has a part of stay as they are, to the bit.
    """
    if not others:
        return own.out_TND
    shape = (1 + len(others), *own.out_TND.shape)
    outs = np.zeros(shape, dtype=np.float32)
    lses = np.full(shape[:3], -np.inf, dtype=np.float32)
    outs[0], lses[0] = own.out_TND, own.lse_TN
    for number, (rows, part) in enumerate(others, 1):
        outs[number, rows], lses[number, rows] = part.out_TND, part.lse_TN
    touched = np.unique(np.concatenate([rows for rows, _ in others]))
    out = own.out_TND.copy()
    out[touched] = merge(outs[:, touched], lses[:, touched])[0]
    return out

"""Shares that did not come in time, where a user would rather have a token without them.

What is left of a token's sum is stretched by the weight that is missing: with weights w of the
experts that it chose, of which some are late,

    sum over those that came of w x / (sum of their w) x (sum of all w)

as a gate that had not chosen them would have weighed the others. A sum of digests stays what has
come. Only what is late is replaced: a shard that is gone, or refuses, fails its tokens as ever.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from workers.errors import DeadlineExceeded
from workers.experts.routing import NOBODY, RoutingTable
from workers.experts.spread import owners_of
from workers.experts.tokens import Combined, Tokens
from workers.model.numerics import Numerics


@dataclass(frozen=True, slots=True)
class Lateness:
    """When a share is late, and whether it is replaced; else its tokens fail."""

    after_ns: int
    replaces: bool


NO_ROWS = np.empty(0, dtype=np.intp)


def without_late(
    numerics: Numerics, combined: Combined, tokens: Tokens, table: RoutingTable
) -> tuple[Combined, NDArray[np.intp]]:
    """The same with late shares replaced, in place, and the rows of which some were; what is
    missing for another reason stays missing.
    """
    late = [one for one in combined.missing if isinstance(one.error, DeadlineExceeded)]
    if not late:
        return combined, NO_ROWS
    owners_TK = owners_of(table, tokens.requests_T, tokens.positions_T, tokens.experts_TK)
    is_late_TK = np.zeros(owners_TK.shape, dtype=bool)
    for one in late:
        is_late_TK[one.rows] |= owners_TK[one.rows] == table.shards.index(one.shard)
    rows = np.flatnonzero(is_late_TK.any(axis=1))
    asked_tK = np.where(owners_TK[rows] != NOBODY, tokens.weights_TK[rows], 0).astype(np.float64)
    all_t = asked_tK.sum(axis=1)
    came_t = np.where(is_late_TK[rows], 0, asked_tK).sum(axis=1)
    factors_t = np.divide(all_t, came_t, out=np.zeros_like(all_t), where=came_t > 0)
    numerics.stretch(combined.sums_TH, rows, factors_t)
    kept = tuple(m for m in combined.missing if not isinstance(m.error, DeadlineExceeded))
    return replace(combined, missing=kept), rows

"""Layers that keep a state of fixed size: a recurrence, as linear attention is one.

    S(t) = D * S(t - 1) + k(t), modulo 2^64; S is zero before the first token, and D odd

A token's state lies where its key would lie, so that the last token's is where the next one looks
for it. As D has an inverse, the i tokens of a step are one sum: D^i * (S + sum of D^-j * k(j)).

Letters: T tokens of the step, B sequences, U units.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workers.model.digest.cache import DigestCache
from workers.model.digest.mixing import Digests
from workers.model.parts.positions import Indices


@dataclass(frozen=True, slots=True)
class Runs:
    """Each sequence's tokens of a step.

    numbers_T   of each in its run, from 1        runs_T    which run it is of
    firsts_B    row of the first token
    spans_B, slots_B   where the token before it left its state; that counts where goes_on_B is 1
    """

    numbers_T: Indices
    runs_T: Indices
    firsts_B: Indices
    spans_B: Indices
    slots_B: Indices
    goes_on_B: Digests


def runs_of(positions: Sequence[Indices], spans: Sequence[Indices], span: int) -> Runs:
    """Of a step's sequences: their new tokens' positions, and their spans, all of them."""
    counts = np.array([len(each) for each in positions])
    firsts_B = np.cumsum(counts) - counts
    starts_B = np.array([each[0] for each in positions])
    before_B = np.maximum(starts_B - 1, 0)
    runs_T = np.repeat(np.arange(len(counts)), counts)
    return Runs(
        np.arange(counts.sum()) - firsts_B[runs_T] + 1,
        runs_T,
        firsts_B,
        np.array([held[b // span] for held, b in zip(spans, before_B, strict=True)]),
        before_B % span,
        (starts_B > 0).astype(np.uint64),
    )


class Decay:
    """Powers of one layer's D and of its inverse, as many as were asked for yet."""

    def __init__(self, slices_U: Digests) -> None:
        """slices_U   of the units' weights; their last bit is set"""
        self._one_U = slices_U | np.uint64(1)
        found = [pow(int(each), -1, 1 << 64) for each in self._one_U]
        self._inverse_U = np.array(found, dtype=np.uint64)
        self._grow(1)

    def powers(self, most: int) -> tuple[Digests, Digests]:
        """Of D and of its inverse, from 0 to `most` at least: [n, U]."""
        if most >= len(self._powers):
            self._grow(2 * most)
        return self._powers, self._inverses

    def _grow(self, most: int) -> None:
        self._powers, self._inverses = (
            np.cumprod(np.vstack([np.ones_like(base), *[base] * most]), axis=0, dtype=np.uint64)
            for base in (self._one_U, self._inverse_U)
        )


def evolved(cache: DigestCache, layer: int, runs: Runs, decay: Decay, keys_TU: Digests) -> Digests:
    """The state behind each token, [T, U]."""
    powers, inverses = decay.powers(int(runs.numbers_T.max(initial=0)))
    sums_TU = np.cumsum(keys_TU * inverses[runs.numbers_T], axis=0, dtype=np.uint64)
    before_BU = cache.read(layer, runs.spans_B, runs.slots_B) * runs.goes_on_B[:, None]
    # Sums run on over the sequences: what came before the first token of each goes away.
    others_BU = np.vstack([np.zeros_like(sums_TU[:1]), sums_TU])[runs.firsts_B]
    states_TU: Digests = powers[runs.numbers_T] * (sums_TU + (before_BU - others_BU)[runs.runs_T])
    return states_TU

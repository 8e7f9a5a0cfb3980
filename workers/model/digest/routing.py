"""Which experts a digest's token visits: a function of the seed, the layer, and the digest or the
position, so that it is the same under every parallelism and in every batch. (`balanced` is one of
the step: see there.)

Letters: T tokens, K experts a token, E experts.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.model.digest.mixing import KNOWN_MAX, STEP, Digests, mixed, stepped

Experts = NDArray[np.int32]
# A digest as a number between 0 and 1, both left out: its upper 53 bits, and a half.
_FRACTION_BITS = np.uint64(11)
_HALF, _SCALE = 0.5, 2.0**-53
_WEIGHT_MIN = 1e-300  # of an expert: nothing is divided by zero


class Routing(Protocol):
    """How a gate chooses."""

    @property
    def alike(self) -> bool:
        """Whether all experts of a layer have the same weights, at each place of a choice."""
        ...

    def choose(self, layer: int, gated_T: Digests, positions_T: NDArray[np.int64]) -> Experts:
        """[T, K], an expert at most once a token."""
        ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any K experts in any order, all as likely: the first K places of a shuffled deck (Fisher and
    Yates; Durstenfeld, CACM 1964), one draw a place, whatever the number of experts.
    """

    seed: int
    num_experts: int
    top_k: int
    alike: bool = False

    def choose(self, layer: int, gated_T: Digests, positions_T: NDArray[np.int64]) -> Experts:
        draws_KT = _draws(self.seed, layer, gated_T, self.top_k).T
        left_K = self.num_experts - np.arange(self.top_k, dtype=np.uint64)
        swaps_KT = (draws_KT % left_K[:, None]).astype(np.int32)
        swaps_KT += np.arange(self.top_k, dtype=np.int32)[:, None]
        return _dealt(swaps_KT)


@dataclass(frozen=True, slots=True)
class Balanced:
    """Each expert the same number of tokens in a step of a chip, as near as it goes: one after the
    other, from a chance one on. A choice of the step and not of the token: so that the text does
    not hang on who came along, experts are alike.
    """

    seed: int
    num_experts: int
    top_k: int
    alike: bool = True

    def choose(self, layer: int, gated_T: Digests, positions_T: NDArray[np.int64]) -> Experts:
        first = int(_chances(self.seed, layer, gated_T[:1])[0]) % self.num_experts
        count = len(gated_T) * self.top_k
        chosen = (np.arange(first, first + count) % self.num_experts).astype(np.int32)
        return chosen.reshape(len(gated_T), self.top_k)


@dataclass(frozen=True, slots=True)
class Skewed:
    """Experts differ in weight; a token draws its K without putting any back.

    zipf        weight of the expert of rank r is r ** -zipf; ranks are drawn for each layer
    lognormal   or else: its weight is exp(lognormal * z), z normal, drawn for each layer
    stretch     ranks are drawn anew for each so many positions (bursty); None: they stay
    """

    seed: int
    num_experts: int
    top_k: int
    zipf: float | None = None
    lognormal: float = 0.0
    stretch: int | None = None
    alike: bool = False

    def choose(self, layer: int, gated_T: Digests, positions_T: NDArray[np.int64]) -> Experts:
        """By the exponential race: the K smallest of -log(u) / weight are such a draw (Efraimidis
        and Spirakis, 2006).
        """
        draws_TE = _draws(self.seed, layer, gated_T, self.num_experts)
        times_TE = -np.log(_fractions(draws_TE)) / self.weights(layer, positions_T)
        return _smallest(times_TE, self.top_k)

    def weights(self, layer: int, positions_T: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of experts at some positions, [T, E], or [1, E] where all have the same."""
        which = np.zeros(1, dtype=np.int64)
        if self.stretch is not None:
            which = positions_T // self.stretch + 1
        of_layer = _chances(self.seed, layer, stepped(which))
        draws = mixed(of_layer[:, None] + stepped(np.arange(1, self.num_experts + 1)))
        if self.zipf is None:
            weights: NDArray[np.float64] = np.exp(self.lognormal * _normal(draws))
            return weights
        ranks = np.argsort(np.argsort(draws, axis=1), axis=1) + 1
        return np.maximum(ranks.astype(np.float64) ** -self.zipf, _WEIGHT_MIN)


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """What some token of a recorded run chose in this layer.

    table   experts [recorded tokens, sparse layers, K]      dense_layers   layers before these
    """

    seed: int
    table: Experts
    dense_layers: int
    alike: bool = False

    def choose(self, layer: int, gated_T: Digests, positions_T: NDArray[np.int64]) -> Experts:
        chance_T = _chances(self.seed, layer, gated_T)
        token_T = chance_T % np.uint64(len(self.table))
        experts_TK: Experts = self.table[token_T.astype(np.int64), layer - self.dense_layers]
        return experts_TK


def _chances(seed: int, layer: int, gated_T: Digests) -> Digests:
    """A number of each token for this layer and seed."""
    return mixed(gated_T ^ _key(seed, layer))


@lru_cache(KNOWN_MAX)
def _key(seed: int, layer: int) -> Digests:
    return mixed(mixed(np.array([seed % 2**64], dtype=np.uint64)) + np.uint64(layer))


def _draws(seed: int, layer: int, gated_T: Digests, count: int) -> Digests:
    """[T, count] of each token: one for each expert, or for each place."""
    return mixed(_chances(seed, layer, gated_T)[:, None] + stepped(np.arange(1, count + 1)))


def _dealt(swaps_KT: Experts) -> Experts:
    """The first K places of a deck 0, 1, 2 ... once place k has been swapped with place swaps[k],
    for k = 0, 1, ... in turn: [T, K]. No deck is made: what lies at a place is its own number, or
    what an earlier swap has put there.
    """
    dealt_KT, moved_KT = swaps_KT.copy(), np.empty_like(swaps_KT)
    for place, swap_T in enumerate(swaps_KT):
        moved_KT[place] = place
        for before in range(place):
            moved_T = moved_KT[before]
            np.copyto(dealt_KT[place], moved_T, where=swaps_KT[before] == swap_T)
            np.copyto(moved_KT[place], moved_T, where=swaps_KT[before] == place)
    return np.ascontiguousarray(dealt_KT.T)


def _smallest(of_TE: Digests | NDArray[np.float64], top_k: int) -> Experts:
    """The experts of the K smallest, the least first."""
    if top_k < of_TE.shape[1]:
        some_TK = np.argpartition(of_TE, top_k - 1, axis=1)[:, :top_k]
    else:
        some_TK = np.broadcast_to(np.arange(of_TE.shape[1]), of_TE.shape)
    order_TK = np.argsort(np.take_along_axis(of_TE, some_TK, axis=1), axis=1)
    return np.take_along_axis(some_TK, order_TK, axis=1).astype(np.int32)


def _fractions(digests: Digests) -> NDArray[np.float64]:
    """Each as a number between 0 and 1."""
    return ((digests >> _FRACTION_BITS).astype(np.float64) + _HALF) * _SCALE


def _normal(draws: Digests) -> NDArray[np.float64]:
    """Normal numbers, by Box and Muller."""
    other = mixed(draws ^ np.uint64(STEP))
    radius = np.sqrt(-2 * np.log(_fractions(draws)))
    return np.asarray(radius * np.cos(2 * math.pi * _fractions(other)))

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
    """Each expert as likely: from a chance one on, in steps of a chance number that has no divisor
    in common with E.
    """

    seed: int
    num_experts: int
    top_k: int
    alike: bool = False

    def choose(self, layer: int, gated_T: Digests, positions_T: NDArray[np.int64]) -> Experts:
        chance_T, experts = _chances(self.seed, layer, gated_T), self.num_experts
        strides = _coprime(experts)
        first_T = (chance_T >> np.uint64(32)) % np.uint64(experts)
        stride_T = strides[(chance_T & np.uint64(0xFFFFFFFF)) % np.uint64(len(strides))]
        places_K = np.arange(self.top_k, dtype=np.uint64)
        chosen = (first_T[:, None] + stride_T[:, None] * places_K) % np.uint64(experts)
        experts_TK: Experts = chosen.astype(np.int32)
        return experts_TK


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
        chance_T = _chances(self.seed, layer, gated_T)
        experts_E = stepped(np.arange(1, self.num_experts + 1))
        times_TE = -np.log(_fractions(mixed(chance_T[:, None] + experts_E)))
        times_TE /= self._weights(layer, positions_T)
        if self.top_k < self.num_experts:
            some = np.argpartition(times_TE, self.top_k - 1, axis=1)[:, : self.top_k]
        else:
            some = np.broadcast_to(np.arange(self.num_experts), times_TE.shape)
        order = np.argsort(np.take_along_axis(times_TE, some, axis=1), axis=1)
        return np.take_along_axis(some, order, axis=1).astype(np.int32)

    def _weights(self, layer: int, positions_T: NDArray[np.int64]) -> NDArray[np.float64]:
        """[T, E], or [1, E]."""
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


def _fractions(digests: Digests) -> NDArray[np.float64]:
    """Each as a number between 0 and 1."""
    return ((digests >> _FRACTION_BITS).astype(np.float64) + _HALF) * _SCALE


def _normal(draws: Digests) -> NDArray[np.float64]:
    """Normal numbers, by Box and Muller."""
    other = mixed(draws ^ np.uint64(STEP))
    radius = np.sqrt(-2 * np.log(_fractions(draws)))
    return np.asarray(radius * np.cos(2 * math.pi * _fractions(other)))


@lru_cache(KNOWN_MAX)
def _coprime(number: int) -> Digests:
    """Strides that visit all of 0 .. number - 1."""
    return np.array([n for n in range(1, number + 1) if math.gcd(n, number) == 1], dtype=np.uint64)

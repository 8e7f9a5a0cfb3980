"""Routing as docs/digests.md defines it, token by token in plain integers: for the reference."""

import math
from collections.abc import Callable, Sequence

from configs.model_config import ModelConfig
from configs.schema.routing import Routing
from workers.model.digest.recorded import read_routing

ALL = 2**64 - 1
STEP = 0x9E3779B97F4A7C15

# (layer, g of the token, its position) -> its experts, in order. None: experts are alike.
Route = Callable[[int, int, int], Sequence[int]]


def m(z: int) -> int:
    """The mixing function."""
    z &= ALL
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & ALL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & ALL
    return z ^ (z >> 31)


def chance(seed: int, layer: int, g: int) -> int:
    """A number of a token for one layer."""
    return m(g ^ m(m(seed % 2**64) + layer))


def uniform_route(seed: int, num_experts: int, top_k: int) -> Route:
    """The first places of a shuffled deck."""

    def route(layer: int, g: int, _: int) -> Sequence[int]:
        c, deck = chance(seed, layer, g), list(range(num_experts))
        for k in range(top_k):
            swap = k + m(c + STEP * (k + 1)) % (num_experts - k)
            deck[k], deck[swap] = deck[swap], deck[k]
        return deck[:top_k]

    return route


def skewed_route(
    seed: int,
    num_experts: int,
    top_k: int,
    *,
    zipf: float | None = None,
    lognormal: float = 0.0,
    stretch: int | None = None,
) -> Route:
    """The exponential race among experts of different weight."""

    def fraction(drawn: int) -> float:
        return ((drawn >> 11) + 0.5) / 2**53

    def normal(drawn: int) -> float:
        radius = math.sqrt(-2 * math.log(fraction(drawn)))
        return radius * math.cos(2 * math.pi * fraction(m(drawn ^ STEP)))

    def route(layer: int, g: int, position: int) -> Sequence[int]:
        which = 0 if stretch is None else position // stretch + 1
        key = chance(seed, layer, STEP * which & ALL)
        drawn = [m(key + STEP * (e + 1)) for e in range(num_experts)]
        if zipf is None:
            weights = [math.exp(lognormal * normal(d)) for d in drawn]
        else:
            ranks = [1 + sum(other < d for other in drawn) for d in drawn]
            weights = [max(rank**-zipf, 1e-300) for rank in ranks]
        c = chance(seed, layer, g)
        times = [-math.log(fraction(m(c + STEP * (e + 1)))) / w for e, w in enumerate(weights)]
        return sorted(range(num_experts), key=times.__getitem__)[:top_k]

    return route


def replayed_route(seed: int, table: Sequence[Sequence[Sequence[int]]], dense_layers: int) -> Route:
    """What a token of a recorded run chose: table[token][sparse layer]."""

    def route(layer: int, g: int, _: int) -> Sequence[int]:
        return table[chance(seed, layer, g) % len(table)][layer - dense_layers]

    return route


def route_of(model: ModelConfig, seed: int, routing: Routing) -> Route | None:
    """None where experts are alike. Raises CheckpointError where a recorded run does not fit."""
    sizes = seed, model.num_experts, model.top_k
    if routing.balanced is not None:
        return None
    if routing.replay is not None:
        table = read_routing(routing.replay).fitting(model)
        return replayed_route(seed, table.tolist(), model.dense_layers)
    if routing.zipf is not None:
        return skewed_route(*sizes, zipf=routing.zipf)
    if routing.lognormal is not None:
        return skewed_route(*sizes, lognormal=routing.lognormal)
    if routing.bursty is not None:
        return skewed_route(*sizes, zipf=routing.bursty.zipf, stretch=routing.bursty.stretch)
    return uniform_route(*sizes)

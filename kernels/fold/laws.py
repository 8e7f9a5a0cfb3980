"""Pools of tokens that choose as a routing law has it: K of E experts, drawn one after the other by
weight, none twice (`workers.model.digest.routing`).

A pool is of so many exact draws, mended: each expert is chosen by as many of its tokens as the law
has it on average, to one (of steep laws to a few). Else chance would make some experts, and with
them their shards, busier in every step that draws from the pool, by a few percent: the law's own
chance is of each step.

What is approximate: tokens repeat (a step of 32 meets one of 4,096 twice in an eighth of all
cases); the mended choices, a few in a hundred, are not the law's; and how often a token has two
experts on one shard, so rows and bytes but not choices, keeps the chance of the pool: with P tokens
T drawn ones are off by sqrt(T / P) of a step's deviation, 1 % of a shard's rows for 32 of 4,096.

Letters: L layers, E experts, P tokens of the pool, K experts a token, G points of an integral.
"""

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
POINTS = 400
ROUNDS = 100


def pool_of(weights_LE: Weights, top_k: int, size: int, seed: int) -> NDArray[np.int32]:
    """[L, P, K] for `add_pool`. Weights are above 0; uniform where all are alike. Layers whose
    weights are the same but for who has which share their draws, by rank.
    """
    layers, experts = weights_LE.shape
    if not 1 <= top_k <= experts:
        raise ValueError(f"top_k is {top_k}; it must be from 1 to {experts} experts")
    if not np.all(np.isfinite(weights_LE)) or weights_LE.min() <= 0:
        raise ValueError("weights_LE must be finite, and above 0")
    pool_LPK = np.empty((layers, size, top_k), dtype=np.int32)
    ranked_LE = np.argsort(-weights_LE, axis=1, kind="stable")
    known = dict[bytes, NDArray[np.int64]]()  # by weights in order, which experts often share
    for layer, ranked_E in enumerate(ranked_LE):
        weights_E = weights_LE[layer, ranked_E]
        ranks_PK = known.get(weights_E.tobytes())
        if ranks_PK is None:
            rng = np.random.default_rng([seed, layer])
            times_PE = rng.exponential(size=(size, experts)) / weights_E
            drawn_PK = np.argpartition(times_PE, top_k - 1, axis=1)[:, :top_k].copy()
            ranks_PK = _mended(drawn_PK, size * inclusion(weights_E, top_k), rng)
            known[weights_E.tobytes()] = ranks_PK
        pool_LPK[layer] = ranked_E[ranks_PK]
    return pool_LPK


def inclusion(weights_E: Weights, top_k: int) -> Weights:
    """How likely each expert is among a token's K: among the first K of a race in which each
    arrives after an exponential time, at the rate of its weight.

    By integration over its arrival, others before it counted by a Poisson binomial.
    """
    experts = len(weights_E)
    if top_k == experts or np.all(weights_E == weights_E[0]):
        return np.full(experts, top_k / experts)
    # By the trapezoidal rule in log t: before, none has arrived, and after, the first K + 1 have.
    heavy_E = np.sort(weights_E)[::-1]
    ends = np.log(1e-13 / heavy_E[0]), np.log(60 / heavy_E[top_k])
    t_G, step = np.linspace(*ends, POINTS, retstep=True)
    t_G = np.exp(t_G)
    parts_G = t_G * step
    there_EG = -np.expm1(-weights_E[:, None] * t_G)
    before, after = _arrived(there_EG, top_k), _arrived(there_EG[::-1], top_k)[::-1]
    first_EG = np.zeros_like(there_EG)
    for some in range(top_k):  # before it in the list; of those behind it as many as may be
        first_EG += before[:-1, some] * after[1:, : top_k - some].sum(axis=1)
    density_EG = weights_E[:, None] * np.exp(-weights_E[:, None] * t_G)
    included_E: Weights = (density_EG * first_EG * parts_G).sum(axis=1)
    return np.asarray(included_E * (top_k / included_E.sum()))


def _arrived(there_EG: Weights, top_k: int) -> Weights:
    """How likely 0 .. K - 1 of the first e are there: [E + 1, K, G]."""
    experts, points = there_EG.shape
    counts = np.zeros((experts + 1, top_k, points))
    counts[0, 0] = 1
    for expert, there_G in enumerate(there_EG):
        counts[expert + 1] = counts[expert] * (1 - there_G)
        counts[expert + 1, 1:] += counts[expert, :-1] * there_G
    return counts


def _mended(
    chosen_PK: NDArray[np.int64], wanted_E: Weights, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The same, each expert about as often as wanted: some tokens choose another instead."""
    experts = len(wanted_E)
    # Whole numbers of the same sum: what is rounded off goes to those that lost most.
    target_E = np.floor(wanted_E).astype(np.int64)
    short = chosen_PK.size - int(target_E.sum())
    target_E[np.argsort(target_E - wanted_E)[:short]] += 1
    for _ in range(ROUNDS):
        excess_E = np.bincount(chosen_PK.ravel(), minlength=experts) - target_E
        over = np.flatnonzero(excess_E > 0)
        if not len(over):
            break
        lacking_N = rng.permutation(np.repeat(np.arange(experts), np.maximum(-excess_E, 0)))
        places = [rng.permutation(np.flatnonzero(chosen_PK == e))[: excess_E[e]] for e in over]
        places_N = rng.permutation(np.concatenate(places))
        # A token that has the expert already, or is mended in this round, is left for others.
        tokens_N, first_N = places_N // chosen_PK.shape[1], np.zeros(len(places_N), dtype=np.bool_)
        first_N[np.unique(tokens_N, return_index=True)[1]] = True
        done_N = first_N & (chosen_PK[tokens_N] != lacking_N[:, None]).all(axis=1)
        chosen_PK.reshape(-1)[places_N[done_N]] = lacking_N[done_N]
    return chosen_PK

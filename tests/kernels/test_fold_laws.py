"""Pools beside the laws that they stand for, and what is drawn of them; seeds are fixed."""

from itertools import permutations

import numpy as np
import pytest

from kernels.fold.laws import inclusion, pool_of
from kernels.fold.pools import drawn

EXPERTS, TOP_K, SHARDS, TOKENS, STEPS = 64, 4, 8, 16, 1_500
OF_SHARD = EXPERTS // SHARDS
POOL = 2048
ZIPF = 1.0 / np.arange(1, EXPERTS + 1)


def by_hand(weights: list[float], top_k: int) -> list[float]:
    """All orders in which K may be drawn, one after the other."""
    included = [0.0] * len(weights)
    for order in permutations(range(len(weights)), top_k):
        chance, left = 1.0, sum(weights)
        for expert in order:
            chance *= weights[expert] / left
            left -= weights[expert]
        for expert in order:
            included[expert] += chance
    return included


@pytest.mark.parametrize("weights", [[1.0, 2, 3, 4, 50], [1e-6, 1, 1, 2, 1000], [1.0] * 5])
@pytest.mark.parametrize("top_k", [1, 2, 4, 5])
def test_an_expert_is_included_as_often_as_drawing_has_it(weights: list[float], top_k: int) -> None:
    assert inclusion(np.array(weights), top_k) == pytest.approx(by_hand(weights, top_k), rel=1e-6)


@pytest.mark.parametrize("weights_E", [np.ones(EXPERTS), ZIPF], ids=["uniform", "zipf"])
def test_each_expert_of_a_pool_is_as_busy_as_the_law_has_it(weights_E: np.ndarray) -> None:
    pool_PK = pool_of(weights_E[None], TOP_K, 1024, seed=1)[0]
    assert (np.diff(np.sort(pool_PK, axis=1), axis=1) > 0).all(), "an expert at most once a token"
    chosen_E = np.bincount(pool_PK.ravel(), minlength=EXPERTS)
    assert np.abs(chosen_E - 1024 * inclusion(weights_E, TOP_K)).max() <= 4, "chance alone: 40"


def test_layers_differ_by_who_is_popular() -> None:
    pool_LPK = pool_of(np.stack([ZIPF, ZIPF[::-1]]), TOP_K, 256, seed=1)
    assert np.array_equal(pool_LPK[1], EXPERTS - 1 - pool_LPK[0])


def by_shard(tokens_NTK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, choices and different experts of each shard in each step: [N, S]."""
    counts_NTE = np.zeros((*tokens_NTK.shape[:2], EXPERTS), dtype=np.int64)
    np.put_along_axis(counts_NTE, tokens_NTK, 1, axis=2)
    on_NTS = counts_NTE.reshape(*tokens_NTK.shape[:2], SHARDS, OF_SHARD).sum(axis=3)
    met_NE = counts_NTE.any(axis=1)
    distinct_NS = met_NE.reshape(-1, SHARDS, OF_SHARD).sum(axis=2)
    return (on_NTS > 0).sum(axis=1), on_NTS.sum(axis=1), distinct_NS


@pytest.mark.parametrize("weights_E", [np.ones(EXPERTS), ZIPF], ids=["uniform", "zipf"])
def test_what_is_drawn_spreads_as_tokens_of_the_law_do(weights_E: np.ndarray) -> None:
    """Means, deviations and what two shards have in common, beside exact draws of each token."""
    pool_PK = pool_of(weights_E[None], TOP_K, POOL, seed=2)[0]
    picks = [drawn(5, step % 7, step, 3, TOKENS, len(pool_PK)) for step in range(STEPS)]
    rng = np.random.default_rng(6)
    times = rng.exponential(size=(STEPS, TOKENS, EXPERTS)) / weights_E
    exact_NTK = np.argpartition(times, TOP_K - 1, axis=2)[..., :TOP_K]
    ours, exact = by_shard(pool_PK[np.stack(picks)]), by_shard(exact_NTK)
    # Choices and different experts are the law's; rows have the pool's own chance as well.
    for ours_NS, exact_NS, of_pool in zip(ours, exact, (TOKENS / POOL, 0, 0), strict=True):
        sigma = exact_NS.std(axis=0)
        apart = np.abs(ours_NS.mean(axis=0) - exact_NS.mean(axis=0)) / sigma
        assert apart.max() < 4.5 * np.sqrt(2 / STEPS + of_pool)
        assert np.abs(ours_NS.std(axis=0) / sigma - 1).max() < 0.1
        both = np.corrcoef(ours_NS.T) - np.corrcoef(exact_NS.T)
        assert np.abs(both).max() < 0.15
    assert (ours[1].sum(axis=1) == TOKENS * TOP_K).all()


def test_draws_are_of_seed_chip_step_and_exchange_alone() -> None:
    picks = drawn(1, 2, 3, 4, 9, 1000)
    assert np.array_equal(picks[:5], drawn(1, 2, 3, 4, 5, 1000))
    others = [drawn(*key, 9, 1000) for key in ((0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4))]
    assert not any(np.array_equal(picks, other) for other in others)
    # By hand, of the formula: it is what recorded runs rest on.
    assert drawn(0, 0, 0, 0, 4, 1 << 16).tolist() == drawn(2**64, 0, 0, 0, 4, 1 << 16).tolist()


@pytest.mark.parametrize(
    ("weights", "top_k", "words"),
    [([1.0, 1.0], 3, "top_k is 3"), ([1.0, 0.0], 1, "above 0"), ([1.0, np.nan], 1, "finite")],
)
def test_laws_that_are_none_are_refused(weights: list[float], top_k: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pool_of(np.array([weights]), top_k, 16, seed=0)

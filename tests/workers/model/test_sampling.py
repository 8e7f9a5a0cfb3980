"""Choosing is a pure function of logits, parameters and one number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kernels.sampling import ref
from workers.model.sampling import choose, choose_all
from workers.model.sampling_params import SamplingParams

# Quarters make ties common.
LOGITS = arrays.arrays(
    np.float32, st.integers(1, 40), elements=st.integers(-40, 40).map(lambda n: n / 4)
)
UNIFORM = st.floats(0, 1, exclude_max=True)


@given(LOGITS)
def test_greedy_takes_the_largest_and_the_lowest_id_on_ties(logits_V: np.ndarray) -> None:
    choice = choose(logits_V, SamplingParams(), 0.5)
    ranked = sorted(range(len(logits_V)), key=lambda i: (-logits_V[i], i))
    assert choice.token_id == ranked[0]
    if len(ranked) > 1:
        assert choice.margin == logits_V[ranked[0]] - logits_V[ranked[1]]
    else:
        assert choice.margin == math.inf
    assert choice.logprob is None
    assert choice.top == ()


@given(
    LOGITS,
    st.sampled_from([0.0, 0.25, 1.0, 2.0]),
    st.sampled_from([0.05, 0.5, 0.9, 1.0]),
    st.integers(0, 45),
    UNIFORM,
)
def test_sampling_equals_the_definition(
    logits_V: np.ndarray, temperature: float, top_p: float, top_k: int, uniform: float
) -> None:
    """Candidates in order of probability; the first at which the running sum passes `uniform`."""
    params = SamplingParams(temperature=temperature, top_p=top_p, top_k=top_k)
    choice = choose(logits_V, params, uniform)
    ranked = sorted(range(len(logits_V)), key=lambda i: (-logits_V[i], i))
    if temperature == 0:
        assert choice.token_id == ranked[0]
        return
    if top_k:
        ranked = ranked[:top_k]
    best = float(logits_V[ranked[0]])
    weights = [
        math.floor(math.exp((float(logits_V[i]) - best) / temperature) * 2**44) for i in ranked
    ]
    total, kept, mass = sum(weights), 0, 0
    while kept < len(ranked) and (kept == 0 or mass < top_p * total * (1 - 1e-12)):
        mass += weights[kept]
        kept += 1
    allowed = ranked[:kept]
    assert choice.token_id in [*allowed, *ranked[kept : kept + 1]]
    # Away from the borders between tokens, the very token.
    running, target = 0, uniform * sum(weights[:kept])
    for token, weight in zip(allowed, weights, strict=False):
        if running + 1e-9 * total < target < running + weight - 1e-9 * total:
            assert choice.token_id == token
        running += weight


@given(LOGITS, st.integers(0, 20), UNIFORM)
def test_logprobs_are_of_the_raw_distribution(
    logits_V: np.ndarray, count: int, uniform: float
) -> None:
    params = SamplingParams(temperature=2.0, top_k=3, logprobs=count)
    choice = choose(logits_V, params, uniform)
    wide = logits_V.astype(np.float64)
    logprobs = wide - wide.max() - math.log(np.exp(wide - wide.max()).sum())
    assert choice.logprob == pytest.approx(logprobs[choice.token_id], abs=1e-12)
    ranked = sorted(range(len(logits_V)), key=lambda i: (-logits_V[i], i))[:count]
    assert [token for token, _ in choice.top] == ranked
    assert [p for _, p in choice.top] == pytest.approx(logprobs[ranked].tolist(), abs=1e-12)


def test_frequencies_follow_the_probabilities() -> None:
    logits_V = np.log(np.array([0.5, 0.1, 0.4], dtype=np.float32))
    params = SamplingParams(temperature=1.0)
    draws = [choose(logits_V, params, (i + 0.5) / 1000).token_id for i in range(1000)]
    assert np.bincount(draws).tolist() == [500, 100, 400]


def test_refuses_broken_logits_and_chance() -> None:
    logits_V = np.array([1.0, np.nan, 2.0], dtype=np.float32)
    with pytest.raises(ValueError, match="NaN"):
        choose(logits_V, SamplingParams(), 0.0)
    with pytest.raises(ValueError, match="uniform"):
        choose(np.zeros(3, np.float32), SamplingParams(temperature=1.0), 1.0)
    rows = np.array([[0, 1, 2], [3, 4, np.nan]], dtype=np.float32)
    with pytest.raises(ValueError, match="row 1, token 2"):
        choose_all(rows, [SamplingParams()] * 2, [0.0, 0.0])


@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_rows_of_a_batch_are_chosen_as_if_alone(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    logits_RV = rng.normal(size=(rows, 300)).round(1).astype(np.float32)
    params = [
        SamplingParams(
            temperature=float(rng.choice([0.0, 0.5, 1.5])),
            top_k=int(rng.choice([0, 7])),
            top_p=float(rng.choice([0.6, 1.0])),
            logprobs=None if rng.random() < 0.5 else 2,
        )
        for _ in range(rows)
    ]
    uniforms = rng.random(rows).tolist()
    alone = [choose(*row) for row in zip(logits_RV, params, uniforms, strict=True)]
    assert choose_all(logits_RV, params, uniforms) == alone
    # As models give them: rows in other memory orders and gaps are taken too.
    assert choose_all(np.asfortranarray(logits_RV), params, uniforms) == alone


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.1, 1.0, 3.0, 30.0]),
    st.sampled_from([0.05, 0.5, 0.95, 0.9999, 1.0]),
    st.sampled_from([0.1, 1.0, 8.0]),
    st.one_of(UNIFORM, st.sampled_from([0.0, 1 - 2**-53])),
)
def test_a_part_that_is_sorted_gives_what_sorting_all_gives(
    seed: int, temperature: float, top_p: float, spread: float, uniform: float
) -> None:
    """A large vocabulary, peaked and flat, with ties and with tokens that cannot be."""
    rng = np.random.default_rng(seed)
    logits_V = (rng.normal(size=5_003) * spread).round(2).astype(np.float32)
    logits_V[rng.integers(0, logits_V.size, 9)] = -np.inf
    order = np.argsort(-logits_V, kind="stable")
    weights_V = ref.weights(logits_V, float(logits_V.max()), temperature)
    exact_V = np.exp((lambda x: x - x.max())(logits_V.astype(np.float64) / temperature))
    assert np.abs(weights_V * 2.0**-44 - exact_V).max() < 2.0**-43
    cumulative = np.cumsum(weights_V[order])
    total = int(cumulative[-1])
    if top_p < 1:
        wanted = math.ceil(top_p * float(total))
        cumulative = cumulative[: int((cumulative < wanted).sum()) + 1]
        total = int(cumulative[-1])
    target = min(int(uniform * float(total)), total - 1)
    expected = int(order[int((cumulative <= target).sum())])
    params = SamplingParams(temperature=temperature, top_p=top_p)
    assert choose(logits_V, params, uniform).token_id == expected
    assert choose(logits_V.copy(), params, uniform).token_id == expected

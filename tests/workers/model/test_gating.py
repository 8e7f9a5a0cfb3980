"""The gate chooses what its plain description says, token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from configs.gate import PLAIN_GATE, Gate
from workers.model.parts.gating import Gating

GATES = st.builds(
    Gate,
    scoring=st.sampled_from(["softmax", "sigmoid"]),
    num_groups=st.just(4),
    groups_kept=st.integers(1, 4),
    group_best=st.sampled_from([1, 2]),
    scaling=st.sampled_from([1.0, 2.5]),
)


def router(gate: Gate, bias_E: np.ndarray | None, top_k: int, normed: bool) -> Gating:
    return Gating(gate, bias_E, top_k, normed)


def plain(logits: np.ndarray, gate: Gate, bias: np.ndarray | None, top_k: int, normed: bool):
    """(experts, weights) of one token, in float64 and with lists."""
    if gate.scoring == "softmax":
        powers = np.exp(logits - logits.max())
        scores = powers / powers.sum()
    else:
        scores = 1 / (1 + np.exp(-logits))
    choice = scores if bias is None else scores + bias
    size = len(logits) // gate.num_groups
    groups = [range(g * size, (g + 1) * size) for g in range(gate.num_groups)]

    def group_score(g: int) -> float:
        return float(sum(sorted((choice[e] for e in groups[g]), reverse=True)[: gate.group_best]))

    kept = sorted(range(gate.num_groups), key=lambda g: (-group_score(g), g))[: gate.groups_kept]
    allowed = [e for g in kept for e in groups[g]]
    experts = sorted(allowed, key=lambda e: (-choice[e], e))[:top_k]
    weights = scores[experts]
    if normed:
        weights = weights / weights.sum()
    return experts, weights * gate.scaling


@given(GATES, st.integers(1, 3), st.booleans(), st.integers(0, 2**32 - 1))
def test_every_gate(gate: Gate, top_k: int, normed: bool, seed: int) -> None:
    """Negative biases too: what lies outside the best groups is never chosen, however low they
    are.
    """
    rng = np.random.default_rng(seed)
    logits_TE = rng.normal(0, 2, (9, 12)).astype(np.float32)
    bias_E = rng.normal(-2, 1, 12).astype(np.float32) if gate.has_bias else None
    experts_TK, weights_TK = router(gate, bias_E, top_k, normed).choose(logits_TE.copy())
    assert experts_TK.dtype == np.int32
    assert weights_TK.dtype == np.float32
    for token, logits in enumerate(logits_TE.astype(np.float64)):
        experts, weights = plain(logits, gate, bias_E, top_k, normed)
        assert experts_TK[token].tolist() == experts
        assert_allclose(weights_TK[token], weights, rtol=1e-5)


def test_equal_probabilities_choose_the_lowest_ids() -> None:
    experts, weights = router(PLAIN_GATE, None, 2, True).choose(np.zeros((1, 4), np.float32))
    assert experts.tolist() == [[0, 1]]
    assert weights.tolist() == [[0.5, 0.5]]
    grouped = Gate("softmax", num_groups=4, groups_kept=2)
    experts, _ = router(grouped, None, 3, False).choose(np.zeros((1, 8), np.float32))
    assert experts.tolist() == [[0, 1, 2]]


def test_the_bias_decides_the_choice_and_not_the_weight() -> None:
    gate = Gate("sigmoid", group_best=2)
    bias_E = np.array([0, 0, 9, 0], np.float32)
    experts, weights = router(gate, bias_E, 1, False).choose(np.zeros((1, 4), np.float32))
    assert experts.tolist() == [[2]]
    assert weights.tolist() == [[0.5]]


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_extreme_logits_stay_finite(logit: float) -> None:
    """A sigmoid of zero: weights that are as good as none, not NaN."""
    experts, weights = router(Gate("sigmoid"), np.zeros(4, np.float32), 2, True).choose(
        np.full((1, 4), logit, np.float32)
    )
    assert experts.tolist() == [[0, 1]]
    assert_array_equal(weights, np.full((1, 2), 0.0 if logit < 0 else 0.5, np.float32))

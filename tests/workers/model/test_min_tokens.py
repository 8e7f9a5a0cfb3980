"""Before min_tokens nothing ends an answer."""

import numpy as np
import pytest

from workers.errors import InvalidRequest
from workers.model.min_tokens import held_back, without
from workers.model.sampling import choose
from workers.model.sampling_params import SamplingParams

LOGITS_V = np.array([3.0, 2.0, 1.0, 0.0], dtype=np.float32)


def params(**fields: object) -> SamplingParams:
    return SamplingParams(max_tokens=9, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("num_outputs", "ignore_eos", "held"),
    [(0, False, (7, 0)), (2, False, (7, 0)), (3, False, ()), (0, True, (7,)), (3, True, ())],
)
def test_which_tokens_are_held_back(
    num_outputs: int, ignore_eos: bool, held: tuple[int, ...]
) -> None:
    """The third of three tokens is still one that may not end it."""
    asked = params(min_tokens=3, stop_token_ids=(7,), ignore_eos=ignore_eos)
    assert held_back(asked, num_outputs, (0,)) == held


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_token_held_back_is_never_chosen(temperature: float) -> None:
    for uniform in (0.0, 0.3, 0.6, 0.999):
        choice = choose(LOGITS_V, params(temperature=temperature), uniform, held=(0, 2, 99))
        assert choice.token_id in (1, 3)
    assert choose(LOGITS_V, params(), 0.0, held=(0,)).token_id == 1


def test_probabilities_are_those_of_the_model() -> None:
    chosen = choose(LOGITS_V, params(logprobs=2), 0.0, held=(0,))
    weights = np.exp(LOGITS_V.astype(np.float64))
    assert chosen.logprob == pytest.approx(float(np.log(weights[1] / weights.sum())))
    assert [token for token, _ in chosen.top] == [0, 1]


def test_rows_beside_are_untouched() -> None:
    rows = np.stack([LOGITS_V, LOGITS_V])
    held = without(rows, [(), (0,)])
    assert (held[0] == LOGITS_V).all() and held[1, 0] == -np.inf
    assert (rows == LOGITS_V).all() and without(rows, [(), ()]) is rows


def test_it_is_at_most_max_tokens() -> None:
    params(min_tokens=9).validate()
    for wrong in (-1, 10):
        with pytest.raises(InvalidRequest, match=r"min_tokens is .*between 0 and max_tokens \(9\)"):
            params(min_tokens=wrong).validate()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_where_a_constraint_leaves_nothing_else_it_may_end(temperature: float) -> None:
    """An end token alone, or beside a stop token, is all that a grammar lets come."""
    end_V = np.full(4, -np.inf, dtype=np.float32)
    end_V[0] = 1.5
    for held in ((0,), (0, 2)):
        choice = choose(end_V, params(temperature=temperature, logprobs=1), 0.5, held=held)
        assert (choice.token_id, choice.logprob) == (0, 0.0)
    either_V = end_V.copy()
    either_V[3] = -9.0  # unlikely, but it may come
    assert choose(either_V, params(temperature=temperature), 0.5, held=(0,)).token_id == 3

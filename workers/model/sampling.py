"""From logits to tokens, as a pure function: chance comes in as one number in [0, 1) a row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels import sampling
from workers.model.min_tokens import without
from workers.model.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token.

    logprob   natural log of its probability under the raw logits of what a constraint allows
              (before biases, penalties, temperature, top-k and top-p); None unless
              SamplingParams.logprobs asks for it
    top       the most likely (token_id, logprob), best first, as many as were asked for and a
              constraint allows
    margin    largest logit minus the second largest: how far the greedy choice is from another one;
              infinite where only one token may come
    """

    token_id: int
    logprob: float | None
    top: tuple[tuple[int, float], ...]
    margin: float


def choose(
    logits_V: NDArray[np.float32],
    params: SamplingParams,
    uniform: float,
    held: Sequence[int] = (),
) -> Choice:
    """Choose one token of `logits_V` ([V] fp32): `choose_all` for one row."""
    return choose_all(logits_V[np.newaxis], (params,), (uniform,), (held,))[0]


def choose_all(
    logits_RV: NDArray[np.float32],
    params: Sequence[SamplingParams],
    uniforms: Sequence[float],
    held: Sequence[Sequence[int]] = (),
    weighed_RV: NDArray[np.float32] | None = None,
) -> list[Choice]:
    """Choose one token for each row of `logits_RV` ([R, V] fp32), each with its own parameters.

    Temperature 0 takes the largest logit, the lowest id on ties. Otherwise the candidates that
    top_k and top_p leave are laid side by side on [0, 1), the most likely first, and `uniform`
    picks; `kernels.sampling` defines it to the bit: equal logits, parameters and `uniform` give
    the same token on every machine, whatever rows stand beside it. Raises ValueError on NaN
    logits, on an infinite largest logit where a row is sampled, and then on a `uniform` outside
    [0, 1).

    held         of each row, tokens not to be chosen where there are others; log-probabilities take
                 no notice
    weighed_RV   what the choice is made of, where that differs from what log-probabilities are of:
                 with biases and penalties
    """
    open_RV = without(logits_RV if weighed_RV is None else weighed_RV, held)
    ids, margins = sampling.choose(
        np.require(open_RV, np.float32, ("C", "A")),
        np.array([p.temperature for p in params], dtype=np.float64),
        np.array([p.top_k for p in params], dtype=np.int64),
        np.array([p.top_p for p in params], dtype=np.float64),
        np.array(uniforms, dtype=np.float64),
    )
    return [
        _choice(logits_V, asked.logprobs, token, margin)
        for logits_V, asked, token, margin in zip(
            logits_RV, params, ids.tolist(), margins.tolist(), strict=True
        )
    ]


def _choice(
    logits_V: NDArray[np.float32], logprobs: int | None, token: int, margin: float
) -> Choice:
    """Log-probabilities cost another pass in float64: for rows that ask."""
    if logprobs is None:
        return Choice(token, None, (), margin)
    logprobs_V = _log_softmax(logits_V)
    ids = [int(i) for i in _order(logits_V, logprobs) if logits_V[i] > -np.inf]
    top = tuple((i, float(logprobs_V[i])) for i in ids)
    return Choice(token, float(logprobs_V[token]), top, margin)


def _log_softmax(logits_V: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted_V = logits_V.astype(np.float64)
    shifted_V -= shifted_V.max()
    shifted_V -= np.log(np.exp(shifted_V).sum())
    return shifted_V


def _order(logits_V: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The `count` largest logits' ids, largest first, lowest id first on ties."""
    count = min(count, logits_V.size)
    if count == 0:
        return np.empty(0, dtype=np.int64)
    if count < logits_V.size:
        # All that might belong to the top: partition finds the bar, ties at the bar are all kept.
        bar = np.partition(logits_V, logits_V.size - count)[logits_V.size - count]
        ids = np.flatnonzero(logits_V >= bar)
    else:
        ids = np.arange(logits_V.size)
    return ids[np.argsort(-logits_V[ids], kind="stable")][:count]

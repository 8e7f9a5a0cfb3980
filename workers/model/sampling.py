"""From logits to a token, as a pure function: chance comes in as one number in [0, 1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.request import SamplingParams


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token.

    logprob   natural log of its probability under the raw logits (before temperature, top-k and
              top-p); None unless SamplingParams.logprobs asks for it
    top       the most likely (token_id, logprob), best first, as many as were asked for
    margin    largest logit minus the second largest: how far the greedy choice is from another one;
              infinite for a vocabulary of one
    """

    token_id: int
    logprob: float | None
    top: tuple[tuple[int, float], ...]
    margin: float


def choose(logits_V: NDArray[np.float32], params: SamplingParams, uniform: float) -> Choice:
    """Choose one token of `logits_V` ([V] fp32).

    Temperature 0 takes the largest logit, the lowest id on ties. Otherwise the candidates that
    top_k and top_p leave are laid side by side on [0, 1), the most likely first, and `uniform`
    picks: equal logits, parameters and `uniform` give the same token on every machine. Raises
    ValueError on NaN logits or a `uniform` outside [0, 1).
    """
    best = int(logits_V.argmax())
    if np.isnan(logits_V[best]):
        raise ValueError(f"logits hold NaN (first at token {best}): the model's output is broken")
    if params.temperature == 0.0:
        token = best
    else:
        if not 0.0 <= uniform < 1.0:
            raise ValueError(f"uniform is {uniform!r}; it must be at least 0 and below 1")
        token = _sample(logits_V, params, uniform)
    margin = _margin(logits_V, best)
    if params.logprobs is None:
        return Choice(token, None, (), margin)
    logprobs_V = _log_softmax(logits_V)
    order = _order(logits_V, params.logprobs)
    top = tuple((int(i), float(logprobs_V[i])) for i in order)
    return Choice(token, float(logprobs_V[token]), top, margin)


def _margin(logits_V: NDArray[np.float32], best: int) -> float:
    others = [part.max() for part in (logits_V[:best], logits_V[best + 1 :]) if part.size]
    return float(logits_V[best]) - float(max(others)) if others else float("inf")


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


def _sample(logits_V: NDArray[np.float32], params: SamplingParams, uniform: float) -> int:
    """Temperature, then top-k, then top-p, then the inverse of the cumulative distribution."""
    ids = _order(logits_V, params.top_k or logits_V.size)
    scaled = logits_V[ids].astype(np.float64) / params.temperature
    weights = np.exp(scaled - scaled[0])
    cumulative = np.cumsum(weights)
    if params.top_p < 1.0:
        # The smallest set whose probability reaches top_p: at least one token.
        kept = int(np.searchsorted(cumulative, params.top_p * cumulative[-1], side="left")) + 1
        cumulative = cumulative[:kept]
    index = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    # uniform * total may round up to the total itself.
    return int(ids[min(index, cumulative.size - 1)])

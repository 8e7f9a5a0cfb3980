"""From logits to a token, as a pure function: chance comes in as one number in [0, 1)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.request import SamplingParams

# Weights, relative to the largest, below which entries are first left out of the sort: each bar
# lets in what is some e^3 times less likely.
_BARS = (5e-2, 2e-3, 1e-4, 5e-6)


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
    """Temperature, then top-k, then top-p, then the inverse of the cumulative distribution.

    An entry weighs exp((logit - largest logit) / temperature), in float64. Weights are summed one
    by one from the most likely entry on, as `_order` has them; the whole is their sum in order of
    id, or with top_k the last of those sums. Where `uniform` falls is the token. So only as many
    entries are sorted as reach it: sorting 32,000 takes 2 ms, which a row of a batch cannot have.
    """
    if params.top_k:
        ids = _order(logits_V, params.top_k)
        cumulative = np.cumsum(_weights(logits_V[ids], params.temperature))
        return _pick(ids, cumulative, float(cumulative[-1]), params.top_p, uniform)
    weights_V = _weights(logits_V, params.temperature)
    total = float(weights_V.sum())
    wanted = total * (params.top_p if params.top_p < 1.0 else uniform)
    for ids in _ever_more(weights_V, wanted):
        ids = ids[np.argsort(-logits_V[ids], kind="stable")]
        cumulative = np.cumsum(weights_V[ids])
        if cumulative[-1] > wanted:
            break
    return _pick(ids, cumulative, total, params.top_p, uniform)


def _weights(logits_N: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    scaled_N = logits_N.astype(np.float64)
    scaled_N /= temperature
    scaled_N -= scaled_N.max()
    return np.exp(scaled_N, out=scaled_N)


def _ever_more(weights_V: NDArray[np.float64], wanted: float) -> Iterator[NDArray[np.int64]]:
    """Ids of all entries above a bar, which is lowered until they weigh as much as is wanted; at
    last all. Everything above a bar is the start of the sorted order.
    """
    for bar in _BARS:
        ids = np.flatnonzero(weights_V >= bar)
        if weights_V[ids].sum() > wanted:
            yield ids
    yield np.arange(weights_V.size)


def _pick(
    ids: NDArray[np.int64],
    cumulative: NDArray[np.float64],
    total: float,
    top_p: float,
    uniform: float,
) -> int:
    """`cumulative`: sums of the weights of `ids`, most likely first, as far as they are needed."""
    if top_p < 1.0:
        # The smallest set whose probability reaches top_p: at least one token.
        kept = int(np.searchsorted(cumulative, top_p * total, side="left")) + 1
        cumulative = cumulative[:kept]
        total = float(cumulative[-1])
    index = int(np.searchsorted(cumulative, uniform * total, side="right"))
    # uniform * total may round up to the total itself, and the two totals round apart.
    return int(ids[min(index, cumulative.size - 1)])

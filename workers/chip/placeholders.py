"""Tokens where nothing is computed: placeholders, the same in every world and whoever comes along.

A request's token at a place of its answer is a number drawn from both; no end token is among them,
so an answer is as long as its request allows.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.chip.batch import Batch
from workers.chip.choosing import Chosen
from workers.chip.wanted import Wanted
from workers.experts.tokens import request_number
from workers.model.program import Hidden
from workers.model.sampling import Choice

_BITS = 64
# 2^64 / golden ratio, odd: the places of an answer lie evenly over all tokens (Knuth 6.4).
_STEP = 0x9E3779B97F4A7C15


class Placeholders:
    """A `Chooser` that looks at no number. At least one token of the vocabulary ends nothing."""

    def __init__(self, vocab: int, eos: Sequence[int]) -> None:
        self._ends = sorted({token for token in eos if 0 <= token < vocab})
        self._num_tokens = vocab - len(self._ends)
        assert self._num_tokens > 0, "all tokens are end tokens"

    def choose(
        self, computed: Sequence[tuple[Batch, Hidden]], wanted: Mapping[str, Wanted]
    ) -> Chosen:
        chosen = {
            item.seq.seq_id: Choice(
                self.token(item.seq.seq_id, item.seq.num_outputs), None, (), 0.0
            )
            for batch, _ in computed
            for item in batch.sampled
        }
        return chosen, {}

    def tokens(self, request_id: str, first: int, count: int) -> NDArray[np.int64]:
        """So many from a place on, [count]: as `token` has each."""
        places = np.arange(first + 1, first + count + 1, dtype=np.uint64)
        drawn = np.uint64(request_number(request_id)) + np.uint64(_STEP) * places
        # Halves of 32 bits: the product has up to 96, of which those above 64 are wanted.
        num, half = np.uint64(self._num_tokens), np.uint64(32)
        low = (drawn & np.uint64(0xFFFFFFFF)) * num >> half
        tokens = ((drawn >> half) * num + low >> half).astype(np.int64)
        for end in self._ends:
            tokens += tokens >= end
        return tokens

    def token(self, request_id: str, place: int) -> int:
        """At so many tokens from the beginning of the answer."""
        drawn = (request_number(request_id) + _STEP * (place + 1)) % (1 << _BITS)
        token = drawn * self._num_tokens >> _BITS
        for end in self._ends:
            token += token >= end
        return token

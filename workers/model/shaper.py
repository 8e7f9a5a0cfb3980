"""Shaping at work, for one sequence: which tokens it may take, and what they weigh.

Letters: R rows, V vocabulary. Whatever is remembered here follows from the sequence's tokens, so a
sequence that was preempted, or goes on at another chip, gets the same.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.errors import PerfuseError
from workers.model.grammar import Grammar, Grammars
from workers.model.sampling_params import SamplingParams
from workers.model.shaping import Shaping

Logits = NDArray[np.float32]


class Shaper:
    """Changes one sequence's rows of logits, as its `Shaping` asks. Tokens are the prompt's, then
    the answer's; rows are changed in place.

    weighs   whether it does more than forbid
    """

    def __init__(
        self, params: SamplingParams, shaping: Shaping, grammars: Grammars, end_ids: Sequence[int]
    ) -> None:
        self._shaping, self._grammars = shaping, grammars
        self._end_ids, self._ignores_end = list(end_ids), params.ignore_eos
        self._grammar: Grammar | None = None
        self._answer: Counter[int] = Counter()
        self._num_counted = 0
        self._prompt: frozenset[int] | None = None
        self.weighs = shaping != Shaping(shaping.constraint)

    @classmethod
    def of(
        cls, params: SamplingParams, grammars: Grammars, end_ids: Sequence[int]
    ) -> "Shaper | None":
        """None for a request that shapes nothing."""
        return None if params.shaping is None else cls(params, params.shaping, grammars, end_ids)

    @property
    def size(self) -> int:
        """Operations of `prepare`."""
        constraint = self._shaping.constraint
        return 0 if constraint is None else self._grammars.size(constraint)

    def prepare(self) -> None:
        """What takes time, in any thread: nothing here changes. Raises InvalidRequest where the
        constraint cannot be enforced.
        """
        if self._shaping.constraint is not None:
            self._grammars.begin(self._shaping.constraint)

    def forbid(self, logits_V: Logits, token_ids: Sequence[int], num_prompt: int) -> None:
        """-infinity for what may not come next. Raises PerfuseError where nothing may."""
        if self._shaping.constraint is None:
            return
        if self._grammar is None:
            self._grammar = self._grammars.begin(self._shaping.constraint)
        self._grammar.follow(token_ids, num_prompt)
        allowed = self._grammar.allowed()
        if self._ignores_end:
            # As long as there is anything else to say.
            others = allowed.copy()
            others[self._end_ids] = False
            allowed = others if others.any() else allowed
        logits_V[~allowed] = -np.inf

    def weigh(self, logits_V: Logits, token_ids: Sequence[int], num_prompt: int) -> None:
        """Biases and penalties, in float32 and in vLLM's order. Raises PerfuseError where that
        ends in infinity.
        """
        shaping = self._shaping
        if shaping.logit_bias:
            ids, biases = zip(*shaping.logit_bias, strict=True)
            logits_V[list(ids)] += np.array(biases, dtype=np.float32)
        self._count(token_ids, num_prompt)
        if shaping.repetition_penalty != 1.0:
            self._repeat(logits_V, np.float32(shaping.repetition_penalty))
        if self._answer:
            ids_N = np.fromiter(self._answer.keys(), dtype=np.int64)
            counts_N = np.fromiter(self._answer.values(), dtype=np.float32)
            logits_V[ids_N] -= np.float32(shaping.frequency_penalty) * counts_N
            logits_V[ids_N] -= np.float32(shaping.presence_penalty)
        if not np.isfinite(logits_V.max()):
            raise PerfuseError("logits with their biases and penalties are beyond float32")

    def _count(self, token_ids: Sequence[int], num_prompt: int) -> None:
        if self._prompt is None:
            wanted = self._shaping.repetition_penalty != 1.0
            self._prompt = frozenset(token_ids[:num_prompt]) if wanted else frozenset()
        new = token_ids[num_prompt + self._num_counted :]
        self._num_counted += len(new)
        self._answer.update(new)

    def _repeat(self, logits_V: Logits, penalty: np.float32) -> None:
        assert self._prompt is not None, "counted before"
        ids_N = np.array(sorted(self._prompt.union(self._answer)), dtype=np.int64)
        seen_N = logits_V[ids_N]
        with np.errstate(over="ignore"):  # found out when all is weighed
            logits_V[ids_N] = np.where(seen_N > 0, seen_N / penalty, seen_N * penalty)

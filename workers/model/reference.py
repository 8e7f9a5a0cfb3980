"""What every cluster must reproduce: the same model in one process, nothing between its parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.families import load_model
from configs.precision import EXACT, Precision
from workers.errors import ContextTooLong, InvalidRequest
from workers.model.base import StepLayout, StepSequence
from workers.model.factory import open_chip, open_experts
from workers.model.grammar import Grammars, Vocabulary
from workers.model.local import local_step
from workers.model.min_tokens import held_back
from workers.model.numerics import Numerics
from workers.model.sampling import Choice, choose_all
from workers.model.sampling_params import SamplingParams
from workers.model.shaper import Shaper

# Index of a generated token (the first is 0) -> a number in [0, 1), as a chip's node.rng draws it.
Uniform = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """One answer.

    token_ids       generated tokens; the last may be the one that ended the answer (a stop id)
    logits          [n, V] float32, one row a generated token; empty unless wanted
    margins         largest minus second largest logit of each step
    choices         token, logprob and alternatives of each step
    finish_reason   "stop" or "length"
    """

    token_ids: tuple[int, ...]
    logits: NDArray[np.float32]
    margins: tuple[float, ...]
    choices: tuple[Choice, ...]
    finish_reason: str


class Reference:
    """Greedy or sampled generation, one request at a time, by the chip's and the shards' own code.

    block_size, precision   as in the cluster: both may decide which code computes, so its bits
    wire          between the chip and its experts, where one shard holds them all; None: they are
                  in one place. It changes numbers in speed modes alone
    max_context   longest prompt and answer in tokens; the model's own where left out
    grammars      for requests with a constraint: there is no text here
    """

    def __init__(
        self,
        folder: str | Path,
        block_size: int = 16,
        max_context: int | None = None,
        precision: Precision = EXACT,
        grammars: Grammars | None = None,
        wire: Numerics | None = None,
    ) -> None:
        self._grammars = grammars or Grammars(_no_vocabulary)
        config = load_model(folder)
        self.max_context = min(max_context or config.max_context, config.max_context)
        self._num_blocks = -(-self.max_context // block_size)
        self.chip = open_chip(folder, self._num_blocks, block_size, precision)
        self.experts = open_experts(folder, tuple(range(config.num_experts)), precision)
        self._step = local_step(self.chip, self.experts, wire)
        self.config = config

    def generate(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        want_logits: bool = False,
        uniform: Uniform | None = None,
    ) -> GenerateResult:
        """Answer one prompt. Stop strings are the caller's: there is no text here.

        Raises InvalidRequest on parameters out of range, an empty prompt or sampling without
        `uniform`; ContextTooLong where prompt and max_tokens do not fit.
        """
        params.validate()
        self._check(prompt_ids, params, uniform)
        ends = self.config.eos_token_ids if params.may_end else ()
        shaper = Shaper.of(params, self._grammars, self.config.eos_token_ids)
        choices: list[Choice] = []
        rows: list[NDArray[np.float32]] = []
        tokens, start, reason = list(prompt_ids), 0, "length"
        while len(choices) < params.max_tokens:
            logits_V = self.step(tokens[start:], start)
            start = len(tokens)
            if want_logits:
                rows.append(logits_V.copy())
            chance = uniform(len(choices)) if uniform else 0.0
            held = held_back(params, len(choices), self.config.eos_token_ids)
            choice = _choose(logits_V, params, chance, held, shaper, tokens, len(prompt_ids))
            choices.append(choice)
            tokens.append(choice.token_id)
            if choice.token_id in ends or choice.token_id in params.stop_token_ids:
                reason = "stop"
                break
        return GenerateResult(
            token_ids=tuple(tokens[len(prompt_ids) :]),
            logits=np.stack(rows) if rows else np.empty((0, self.config.vocab), dtype=np.float32),
            margins=tuple(c.margin for c in choices),
            choices=tuple(choices),
            finish_reason=reason,
        )

    def step(self, token_ids: Sequence[int], start: int) -> NDArray[np.float32]:
        """Logits [V] after the last of some tokens; the first of them stands at `start`."""
        x = self.hidden(token_ids, start)
        last: NDArray[np.float32] = self.chip.logits(x, np.array([len(token_ids) - 1]))[0]
        return last

    def all_logits(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after every token of a sequence, [T, V] float32."""
        x = self.hidden(token_ids, 0)
        return self.chip.logits(x, np.arange(len(token_ids)))

    def hidden(self, token_ids: Sequence[int], start: int) -> NDArray[np.float32]:
        """Last hidden states [T, H] of some tokens; their KV joins the cache."""
        blocks = tuple(range(self._num_blocks))
        layout = StepLayout((StepSequence(blocks, start, len(token_ids)),))
        x = self.chip.embed(np.asarray(token_ids, dtype=np.int64))
        return np.asarray(self._step(x, layout))

    def _check(
        self, prompt_ids: Sequence[int], params: SamplingParams, uniform: Uniform | None
    ) -> None:
        if not prompt_ids:
            raise InvalidRequest(
                "the prompt is empty: it must have at least one token", param="prompt"
            )
        if len(prompt_ids) + params.max_tokens > self.max_context:
            raise ContextTooLong(
                f"prompt of {len(prompt_ids)} tokens and max_tokens {params.max_tokens} exceed "
                f"the context of {self.max_context}",
                param="max_tokens",
            )
        if params.temperature > 0 and uniform is None:
            raise InvalidRequest(
                "temperature above 0 needs a source of chance (`uniform`)", param="temperature"
            )


def _choose(
    logits_V: NDArray[np.float32],
    params: SamplingParams,
    uniform: float,
    held: Sequence[int],
    shaper: Shaper | None,
    tokens: Sequence[int],
    num_prompt: int,
) -> Choice:
    allowed_V = weighed_V = np.array(logits_V)
    if shaper is not None:
        shaper.forbid(allowed_V, tokens, num_prompt)
        weighed_V = allowed_V.copy()
        shaper.weigh(weighed_V, tokens, num_prompt)
    return choose_all(allowed_V[np.newaxis], (params,), (uniform,), (held,), weighed_V[np.newaxis])[
        0
    ]


def _no_vocabulary() -> Vocabulary:
    raise InvalidRequest("this reference has no tokens' texts: give it `grammars`")

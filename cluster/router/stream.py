"""One generation as its reader will see it: tokens in order, each once, and the text that they
complete.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.api.output import Output, TokenLogprob
from cluster.api.request import Request
from cluster.text.detokenizer import IncrementalDetokenizer
from cluster.text.stops import StopMatcher
from cluster.text.tokenizer import Tokenizer

# Token id, log-probabilities, why it is the last ("" if it is not), logits.
_Token = tuple[int, Mapping[str, Any] | None, str, NDArray[np.float32] | None]


class Stream:
    """Takes tokens with their positions, gives outputs. A position that came before changes
    nothing (law 2).
    """

    def __init__(self, request: Request, reader: str, tokenizer: Tokenizer) -> None:
        """`reader`: the worker that asked, and hears the outputs."""
        self.request, self.reader = request, reader
        self._tokenizer = tokenizer
        self._detokenizer = IncrementalDetokenizer(tokenizer)
        self._stops = StopMatcher(request.sampling.stop)
        self.prompt_ids: tuple[int, ...] = ()
        self.passages: tuple[str, ...] = ()
        # Tokens that came before one that is still missing, by position.
        self._early: dict[int, _Token] = {}
        self.begun = self.cancelled = False
        self.submitted_ns = 0
        self.num_tokens = 0
        self.num_cached = 0
        self.finish_reason = ""
        self.times_ns: dict[str, int] = {}
        # Chips that said themselves that they let go of it.
        self.finished_on: list[str] = []

    def spend(self, times_ns: Mapping[str, int]) -> None:
        for phase, duration_ns in times_ns.items():
            self.times_ns[phase] = self.times_ns.get(phase, 0) + duration_ns

    def push(
        self,
        position: int,
        token_id: int,
        logprob: Mapping[str, Any] | None,
        reason: str,
        logits_V: NDArray[np.float32] | None = None,
    ) -> list[Output]:
        """One token; `reason` "" unless it is the last. Nothing if it was here before or the stream
        has ended.

        One that comes before its time waits: the first token is told by another chip than the
        second, and one's report may be repeated while the other's passes.
        """
        if position < self.num_tokens or self.finish_reason:
            return []
        self._early.setdefault(position, (token_id, logprob, reason, logits_V))
        outputs = []
        while self.num_tokens in self._early and not self.finish_reason:
            outputs.append(self._take(*self._early.pop(self.num_tokens)))
        return outputs

    def _take(
        self,
        token_id: int,
        logprob: Mapping[str, Any] | None,
        reason: str,
        logits_V: NDArray[np.float32] | None,
    ) -> Output:
        position = self.num_tokens
        self.num_tokens += 1
        text = self._stops.push(self._detokenizer.push((token_id,)))
        if self._stops.stopped:
            reason = "stop"
        elif reason:
            text += self._stops.push(self._detokenizer.flush()) + self._stops.flush()
        self.finish_reason = reason
        output = self._output(position, (token_id,), text, self._logprobs(token_id, logprob))
        return output if logits_V is None else replace(output, logits=logits_V[None])

    def end(self, reason: str, error: Mapping[str, Any] | None = None) -> Output | None:
        """End without a token: cancelled, or failed. None if it has ended."""
        if self.finish_reason:
            return None
        self.finish_reason = reason
        return self._output(self.num_tokens, (), "", (), error)

    def _logprobs(
        self, token_id: int, logprob: Mapping[str, Any] | None
    ) -> tuple[TokenLogprob, ...]:
        if logprob is None:
            return ()
        top = tuple((int(i), self._text(int(i)), float(p)) for i, p in logprob["top"])
        return (TokenLogprob(token_id, self._text(token_id), float(logprob["logprob"]), top),)

    def _text(self, token_id: int) -> str:
        return self._tokenizer.token_text(token_id)

    def _output(
        self,
        position: int,
        token_ids: Sequence[int],
        text: str,
        logprobs: tuple[TokenLogprob, ...],
        error: Mapping[str, Any] | None = None,
    ) -> Output:
        ended = bool(self.finish_reason)
        return Output(
            request_id=self.request.request_id,
            position=position,
            token_ids=tuple(token_ids),
            text=text,
            logprobs=logprobs,
            finish_reason=self.finish_reason,
            error=error,
            num_prompt_tokens=len(self.prompt_ids),
            num_cached_tokens=self.num_cached,
            num_output_tokens=self.num_tokens,
            times=dict(self.times_ns) if ended else {},
            passages=self.passages if ended else (),
        )

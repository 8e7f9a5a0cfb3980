"""Where one choice stands, and the check that its stream is whole."""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.api.output import Output, TokenLogprob
from cluster.gateway.token_text import TextOffsets
from workers.errors import Cancelled, CorruptMessage, from_body


class Progress:
    """Follows the outputs of one submission.

    keep   whether to hold on to text and logprobs, as an answer in one piece needs and a stream
           does not
    """

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._texts: list[str] = []
        self._next_position: int | None = None
        self.logprobs: list[TokenLogprob] = []
        self.approximate: list[int] = []
        self.passages: tuple[str, ...] = ()
        self.num_tokens = 0
        self.num_prompt_tokens = 0
        self.num_cached_tokens = 0
        self.finish_reason = ""
        self.times_ns: Mapping[str, int] = {}
        self.offsets = TextOffsets()

    def add(self, output: Output) -> None:
        """Take the next output.

        Raises the error that the output carries, and CorruptMessage where a position is missing or
        repeated: a stream with a hole must not look like an answer.
        """
        if output.finish_reason == "error" or output.error is not None:
            raise from_body(
                dict(output.error or {"code": "internal_error", "message": "no details"})
            )
        if output.finish_reason == "cancelled":
            raise Cancelled("the cluster cancelled this request")
        if self.finish_reason:
            raise CorruptMessage(f"output at position {output.position} after the last one")
        if output.token_ids:
            if self._next_position is not None and output.position != self._next_position:
                raise CorruptMessage(
                    f"position {output.position} where {self._next_position} was due"
                )
            self._next_position = output.position + len(output.token_ids)
            self.num_tokens += len(output.token_ids)
        self.num_prompt_tokens = output.num_prompt_tokens
        self.num_cached_tokens = output.num_cached_tokens
        self.finish_reason = output.finish_reason
        if output.passages:
            self.passages = output.passages
        if output.times:
            self.times_ns = output.times
        if self._keep:
            self._texts.append(output.text)
            self.logprobs.extend(output.logprobs)
            self.approximate.extend(output.approximate)

    @property
    def num_parts(self) -> int:
        """Tokens and alternatives that a whole answer lists."""
        return self.num_tokens + sum(1 + len(told.top) for told in self.logprobs)

    @property
    def text(self) -> str:
        return "".join(self._texts)


def usage(progresses: Sequence[Progress], n: int) -> dict[str, Any]:
    """OpenAI's usage object: each prompt counts once, however many choices it has.

    The cached tokens are those of a prompt's first choice; the others find the prompt that the
    first one left.
    """
    prompts = progresses[::n]
    prompt_tokens = sum(p.num_prompt_tokens for p in prompts)
    completion_tokens = sum(p.num_tokens for p in progresses)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": sum(p.num_cached_tokens for p in prompts)},
    }

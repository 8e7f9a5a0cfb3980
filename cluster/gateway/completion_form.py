"""Choices as /v1/completions writes them."""

from collections.abc import Sequence
from typing import Any

import orjson

from cluster.api.output import Output, TokenLogprob
from cluster.gateway.progress import Progress
from cluster.gateway.token_text import LOGPROB_MIN, TextOffsets, named, ranked


class CompletionForm:
    chunk_object = "text_completion"
    whole_object = "text_completion"

    def __init__(self, echoed: Sequence[str] = ()) -> None:
        """`echoed`: what each choice's text begins with, if with anything."""
        self._echoed = echoed

    def delta(self, index: int, output: Output, progress: Progress, first: bool) -> bytes:
        logprobs = b"null"
        if output.logprobs:
            logprobs = orjson.dumps(_logprobs(output.logprobs, progress.offsets))
        reason = orjson.dumps(output.finish_reason) if output.finish_reason else b"null"
        return b'{"index":%d,"text":%b,"logprobs":%b,"finish_reason":%b' % (
            index,
            orjson.dumps(self._begin(index) + output.text if first else output.text),
            logprobs,
            reason,
        )

    def choice(self, index: int, progress: Progress, logprobs: int | None) -> dict[str, Any]:
        return {
            "index": index,
            "text": self._begin(index) + progress.text,
            "logprobs": None if logprobs is None else _logprobs(progress.logprobs, TextOffsets()),
            "finish_reason": progress.finish_reason,
        }

    def _begin(self, index: int) -> str:
        return self._echoed[index] if self._echoed else ""


def _logprobs(tokens: Sequence[TokenLogprob], offsets: TextOffsets) -> dict[str, Any]:
    """`offsets`: as they are before the first of `tokens`."""
    return {
        "tokens": [named(token.data) for token in tokens],
        "token_logprobs": [max(token.logprob, LOGPROB_MIN) for token in tokens],
        "top_logprobs": [_by_name(token) for token in tokens],
        "text_offset": [offsets.next(token) for token in tokens],
    }


def _by_name(token: TokenLogprob) -> dict[str, float]:
    """The likeliest, and the chosen one, which keeps its name where others are spelled alike; those
    have their ids for names, as vLLM writes them.
    """
    owners = {named(token.data): token.token_id}
    tops = {}
    for token_id, data, logprob in ranked(token):
        name = named(data)
        if owners.setdefault(name, token_id) != token_id:
            name = f"token_id:{token_id}"
        tops[name] = max(logprob, LOGPROB_MIN)
    return tops

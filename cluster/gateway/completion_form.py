"""Choices as /v1/completions writes them."""

from collections.abc import Sequence
from typing import Any

import orjson

from cluster.api.output import Output, TokenLogprob
from cluster.gateway.chat_form import LOGPROB_MIN
from cluster.gateway.progress import Progress


class CompletionForm:
    chunk_object = "text_completion"
    whole_object = "text_completion"

    def delta(self, index: int, output: Output, progress: Progress, first: bool) -> bytes:
        logprobs = b"null"
        if output.logprobs:
            logprobs = orjson.dumps(_logprobs(output.logprobs, progress.num_token_chars))
            progress.num_token_chars += sum(len(t.text) for t in output.logprobs)
        reason = orjson.dumps(output.finish_reason) if output.finish_reason else b"null"
        return b'{"index":%d,"text":%b,"logprobs":%b,"finish_reason":%b' % (
            index,
            orjson.dumps(output.text),
            logprobs,
            reason,
        )

    def choice(self, index: int, progress: Progress, logprobs: int | None) -> dict[str, Any]:
        return {
            "index": index,
            "text": progress.text,
            "logprobs": None if logprobs is None else _logprobs(progress.logprobs, 0),
            "finish_reason": progress.finish_reason,
        }


def _logprobs(tokens: Sequence[TokenLogprob], offset: int) -> dict[str, Any]:
    """`offset`: characters of the answer before the first of `tokens`."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.text)
    # Two tokens may share a text (parts of characters): the likelier, which comes first, keeps its
    # place.
    tops = [{text: max(p, LOGPROB_MIN) for _, text, p in reversed(t.top)} for t in tokens]
    return {
        "tokens": [t.text for t in tokens],
        "token_logprobs": [max(t.logprob, LOGPROB_MIN) for t in tokens],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": offsets,
    }

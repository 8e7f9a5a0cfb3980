"""Choices as /v1/chat/completions writes them."""

from collections.abc import Sequence
from typing import Any

import orjson

from cluster.api.output import Output, TokenLogprob
from cluster.gateway.progress import Progress

# OpenAI's stand-in for minus infinity, which JSON does not have.
LOGPROB_MIN = -9999.0


class ChatForm:
    chunk_object = "chat.completion.chunk"
    whole_object = "chat.completion"

    def delta(self, index: int, output: Output, progress: Progress, first: bool) -> bytes:
        # Content is absent, not "", from a chunk that only says why the stream ended.
        content = b'"content":' + orjson.dumps(output.text) if output.text or first else b""
        role = b'"role":"assistant",' if first else b""
        logprobs = orjson.dumps(_logprobs(output.logprobs)) if output.logprobs else b"null"
        reason = orjson.dumps(output.finish_reason) if output.finish_reason else b"null"
        return b'{"index":%d,"delta":{%b%b},"logprobs":%b,"finish_reason":%b' % (
            index,
            role,
            content,
            logprobs,
            reason,
        )

    def choice(self, index: int, progress: Progress, logprobs: int | None) -> dict[str, Any]:
        return {
            "index": index,
            "message": {"role": "assistant", "content": progress.text, "refusal": None},
            "logprobs": None if logprobs is None else _logprobs(progress.logprobs),
            "finish_reason": progress.finish_reason,
        }


def _logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    content = [
        _token(t.text, t.logprob) | {"top_logprobs": [_token(text, p) for _, text, p in t.top]}
        for t in tokens
    ]
    return {"content": content, "refusal": None}


def _token(text: str, logprob: float) -> dict[str, Any]:
    # A token that is part of a character shows as U+FFFD, whose bytes would not be the token's.
    known = None if "\ufffd" in text else list(text.encode())
    return {"token": text, "logprob": max(logprob, LOGPROB_MIN), "bytes": known}

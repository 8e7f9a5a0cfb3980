"""Choices as /v1/chat/completions writes them."""

from collections.abc import Sequence
from typing import Any

import orjson

from cluster.api.output import Output, TokenLogprob
from cluster.gateway.progress import Progress
from cluster.gateway.token_text import LOGPROB_MIN, escaped, ranked, text_of


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
    content = []
    for told in tokens:
        # With none asked for there are none; else the chosen one is among them.
        top = [_token(data, p) for _, data, p in ranked(told)] if told.top else []
        content.append(_token(told.data, told.logprob) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def _token(data: bytes, logprob: float) -> dict[str, Any]:
    text = text_of(data)
    shown = escaped(data) if text is None else text
    return {"token": shown, "logprob": max(logprob, LOGPROB_MIN), "bytes": list(data)}

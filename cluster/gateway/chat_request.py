"""The body of POST /v1/chat/completions."""

from dataclasses import replace
from typing import Any

from cluster.api.request import Request
from cluster.gateway.fields import Fields
from cluster.gateway.generation import Generation, fan_out, sampling
from cluster.gateway.naming import Name
from cluster.gateway.retrieval_request import read_retrieval
from cluster.gateway.settings import GatewaySettings
from cluster.gateway.tools.calling import read_calling
from cluster.gateway.tools.forced import forced
from cluster.gateway.tools.messages import read_calls
from workers.errors import InvalidRequest

# "developer" is what newer OpenAI models call the system message.
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "modalities": (["text"],),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "echo": (False,),
}

# A message that came out of an answer is often sent back as it is, with these empty.
_MESSAGE_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "tool_calls": ([],),
    "annotations": ([],),
    "refusal": ("",),
    "name": ("",),
}


def parse_chat(
    body: object, name: Name, default_seed: int, settings: GatewaySettings
) -> Generation:
    """Raises InvalidRequest naming the first field that is wrong or not supported."""
    fields = Fields(body)
    model = fields.string("model")
    messages = _messages(fields, settings.max_messages)
    calling = read_calling(fields)
    retrieval = read_retrieval(fields)
    max_tokens = _max_tokens(fields)
    params = sampling(
        fields,
        default_seed,
        max_tokens,
        settings.default_max_tokens_chat,
        _logprobs(fields),
        settings,
    )
    request = Request(
        shortens=max_tokens is None,
        request_id=name.unique,
        model=model,
        sampling=forced(params, calling),
        messages=messages,
        tools=calling.offered if calling else (),
        retrieval=retrieval,
    )
    generation = fan_out(
        [request], fields, f"chatcmpl-{name.unique}", retrieval, settings, _NEUTRAL
    )
    return replace(generation, calling=calling)


def _messages(fields: Fields, most: int) -> tuple[dict[str, Any], ...]:
    raw = fields.take("messages")
    if not isinstance(raw, list) or not raw:
        raise fields.wrong("messages", raw, "a list of at least one message")
    check_count(len(raw), most, "messages")
    return tuple(_message(Fields(m, f"messages[{i}]"), most) for i, m in enumerate(raw))


def check_count(count: int, most: int, name: str) -> None:
    if count > most:
        raise InvalidRequest(f"{name} has {count} entries: at most {most} are read", param=name)


def _message(message: Fields, most: int) -> dict[str, Any]:
    role = message.take("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise message.wrong("role", role, "one of " + ", ".join(_ROLES))
    calls = read_calls(message) if role == "assistant" else []
    content = None if calls and not message.has_had("content") else _text(message, most)
    read: dict[str, Any] = {"role": _ROLES[role], "content": content}
    if calls:
        read["tool_calls"] = calls
    if role == "tool":
        read["tool_call_id"] = message.string("tool_call_id")
    message.refuse_rest(frozenset(), _MESSAGE_NEUTRAL)
    return read


def _text(message: Fields, most: int) -> str:
    content = message.take("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise message.wrong("content", content, "a string or a list of text parts")
    check_count(len(content), most, message.name("content"))
    texts = []
    for i, part in enumerate(content):
        inner = Fields(part, message.name(f"content[{i}]"))
        kind = inner.take("type")
        if kind != "text":
            raise inner.wrong("type", kind, "'text': no other part is supported")
        texts.append(inner.string("text"))
        inner.refuse_rest(frozenset(), {})
    # vLLM joins parts by line breaks for templates that want one string.
    return "\n".join(texts)


def _max_tokens(fields: Fields) -> int | None:
    old = fields.integer("max_tokens", None, 1)
    new = fields.integer("max_completion_tokens", None, 1)
    if old is not None and new is not None and old != new:
        raise InvalidRequest(
            f"max_tokens is {old} but max_completion_tokens is {new}: give one of them",
            param="max_tokens",
        )
    return new or old


def _logprobs(fields: Fields) -> int | None:
    wanted = fields.boolean("logprobs")
    top = fields.integer("top_logprobs", None, 0, 20)
    if not wanted and top:
        raise InvalidRequest(
            f"top_logprobs is {top} but logprobs is not true: set both", param="top_logprobs"
        )
    return (top or 0) if wanted else None

"""The messages of a chat, as its template is to see them."""

from collections.abc import Mapping
from typing import Any

from cluster.gateway.fields import Fields
from cluster.gateway.message_calls import read_calls
from workers.errors import InvalidRequest

# "developer" is what newer OpenAI models call the system message.
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}

# Hints about caches, and what answers carry that says nothing to the model.
_IGNORED = frozenset(("cache_control", "annotations", "provider_specific_fields"))

# A message that came out of an answer is often sent back as it is, with these empty.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "tool_calls": ([],),
    "refusal": ("",),
    "name": ("",),
    "reasoning": ("",),
    "reasoning_content": ("",),
    "tool_call_id": ("",),
    "thinking_blocks": ([],),
    "images": ([],),
}


def read_messages(fields: Fields, most: int) -> tuple[Mapping[str, Any], ...]:
    """At most so many, of at most so many parts each. Raises InvalidRequest."""
    raw = fields.take("messages")
    if not isinstance(raw, list) or not raw:
        raise fields.wrong("messages", raw, "a list of at least one message")
    _check_count(len(raw), most, "messages")
    return tuple(_message(Fields(m, f"messages[{i}]"), most) for i, m in enumerate(raw))


def _check_count(count: int, most: int, name: str) -> None:
    if count > most:
        raise InvalidRequest(f"{name} has {count} entries: at most {most} are read", param=name)


def _message(message: Fields, most: int) -> Mapping[str, Any]:
    role = message.take("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise message.wrong("role", role, "one of " + ", ".join(_ROLES))
    more: dict[str, Any] = {}
    _optional(message, "name", more)
    if role == "tool":
        _optional(message, "tool_call_id", more)
    if role == "assistant":
        return _answer(message, more, most)
    content = _text(message, most)
    message.refuse_rest(_IGNORED, _NEUTRAL)
    return {"role": _ROLES[role], "content": content, **more}


def _answer(message: Fields, more: dict[str, Any], most: int) -> Mapping[str, Any]:
    """Of the assistant: one that calls tools, or refused, needs no content."""
    calls = read_calls(message, most)
    refusal = message.string("refusal", "")
    # vLLM's new name for what templates call reasoning_content.
    reasoning = message.string("reasoning", "")
    reasoning = message.string("reasoning_content", reasoning)
    if calls:
        more["tool_calls"] = calls
    if reasoning:
        more["reasoning_content"] = reasoning
    content: str | None = None
    if message.take("function_call") is not None:
        name = message.name("function_call")
        text = f"{name} is not supported: write it as tool_calls, with a list of one call"
        raise InvalidRequest(text, param=name)
    if _has_content(message) or not (calls or refusal):
        content = _text(message, most)
    else:
        message.take("content")
        content = refusal or None
    message.refuse_rest(_IGNORED, _NEUTRAL)
    return {"role": "assistant", "content": content, **more}


def _has_content(message: Fields) -> bool:
    """Some clients write none as an empty list of parts."""
    return message.given("content") not in (None, [])


def _optional(message: Fields, key: str, found: dict[str, Any]) -> None:
    if text := message.string(key, ""):
        found[key] = text


def _text(message: Fields, most: int) -> str:
    content = message.take("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise message.wrong("content", content, "a string or a list of text parts")
    _check_count(len(content), most, message.name("content"))
    # vLLM joins parts by line breaks for templates that want one string.
    return "\n".join(
        _part(Fields(part, message.name(f"content[{i}]"))) for i, part in enumerate(content)
    )


def _part(part: Fields) -> str:
    kind = part.take("type")
    if kind not in ("text", "refusal"):
        raise part.wrong("type", kind, "'text': no other part is supported")
    text = part.string(kind)
    part.refuse_rest(_IGNORED, {})
    return text

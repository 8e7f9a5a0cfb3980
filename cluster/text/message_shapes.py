"""A conversation in the shape that `transformers` and a template want it."""

from collections.abc import Mapping, Sequence
from typing import Any

# What a message's reasoning may be called: the first is what templates read, gpt-oss's the second.
_REASONING = ("reasoning_content", "thinking", "reasoning")
PROBES = ("eins", "zwei")  # no template says them by itself

Messages = Sequence[Mapping[str, Any]]


def shaped(message: Mapping[str, Any]) -> dict[str, Any]:
    """As `transformers` gives it to a template: without what is null, reasoning by both names."""
    kept = {key: value for key, value in message.items() if value is not None}
    reasoning = next((kept[key] for key in _REASONING if key in kept), None)
    if reasoning is None:
        return kept
    return {"thinking": reasoning, **kept, "reasoning_content": reasoning}


def in_parts(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """For a template that reads lists of parts alone: of a text it would print nothing."""
    content = message.get("content")
    if not isinstance(content, str):
        return message
    return {**message, "content": [_part(content)]}


def in_one_text(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """For one that reads texts alone: it would print a list as Python does. vLLM joins parts so."""
    content = message.get("content")
    if not isinstance(content, (list, tuple)):
        return message
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        return message
    return {**message, "content": "\n".join(map(str, texts))}


def probe(content: str | Sequence[str]) -> Messages:
    """A conversation of one message, in one text or in parts."""
    parts = content if isinstance(content, str) else [_part(text) for text in content]
    return [{"role": "user", "content": parts}]


def _part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}

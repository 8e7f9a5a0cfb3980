"""Items of a conversation as messages of a chat."""

from collections.abc import Sequence
from typing import Any

from cluster.gateway.fields import Fields
from workers.errors import InvalidRequest

Item = dict[str, Any]
Message = dict[str, Any]

_ROLES = ("user", "assistant", "system", "developer")
_TEXTS = ("input_text", "output_text", "text")
# Items of an answer that no model is shown, whatever they hold.
_UNSEEN = ("reasoning", "file_search_call")
# What items of an answer carry, and what says nothing to a model.
_ABOUT = frozenset(("id", "status", "phase", "caller"))
_PART_ABOUT = frozenset(("annotations", "logprobs"))


def read_items(value: object, most: int) -> list[Item]:
    """`input` as items, each with a type. Raises InvalidRequest naming what cannot be read."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise Fields({}).wrong("input", value, "a string or a list of at least one item")
    if len(value) > most:
        raise InvalidRequest(
            f"input has {len(value)} items: at most {most} are read", param="input"
        )
    items = [_typed(item) for item in value]
    for index, item in enumerate(items):
        _message(Fields(item, f"input[{index}]"), most)
    return items


def messages_of(items: Sequence[Item], most: int) -> list[Message]:
    """As a chat has them: calls stand in the message of the assistant that made them."""
    messages: list[Message] = []
    for index, item in enumerate(items):
        message = _message(Fields(item, f"input[{index}]"), most)
        if message is None:
            continue
        last = messages[-1] if messages else {}
        if "tool_calls" in message and last.get("role") == "assistant":
            last.setdefault("tool_calls", []).extend(message["tool_calls"])
        else:
            messages.append(message)
    return messages


def _typed(item: object) -> Item:
    if isinstance(item, dict) and item.get("type") is None:
        return {**item, "type": "message"}
    return item  # type: ignore[return-value]  # what it is, Fields says


def _message(item: Fields, most: int) -> Message | None:
    """None for an item that no model is shown."""
    kind = item.take("type")
    if kind == "message":
        role = item.take("role")
        if role not in _ROLES:
            raise item.wrong("role", role, "one of " + ", ".join(_ROLES))
        message = {"role": role, "content": _text(item, "content", most)}
    elif kind == "function_call":
        function = {"name": item.string("name"), "arguments": item.string("arguments")}
        call = {"id": item.string("call_id"), "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    elif kind == "function_call_output":
        message = {"role": "tool", "tool_call_id": item.string("call_id")}
        message["content"] = _text(item, "output", most)
    elif kind in _UNSEEN:
        return None
    else:
        right = "'message', 'function_call', 'function_call_output', " + " or ".join(
            map(repr, _UNSEEN)
        )
        raise item.wrong("type", kind, right)
    item.refuse_rest(_ABOUT, {})
    return message


def _text(item: Fields, key: str, most: int) -> str:
    content = item.take(key)
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise item.wrong(key, content, "a string or a list of text parts")
    if len(content) > most:
        name = item.name(key)
        raise InvalidRequest(f"{name} has {len(content)} parts: at most {most}", param=name)
    texts = []
    for index, one in enumerate(content):
        part = Fields(one, item.name(f"{key}[{index}]"))
        kind = part.take("type")
        if kind == "refusal":
            texts.append(part.string("refusal"))
        elif kind in _TEXTS:
            texts.append(part.string("text"))
        else:
            raise part.wrong("type", kind, "'input_text' or 'output_text': no other is supported")
        part.refuse_rest(_PART_ABOUT, {})
    return "\n".join(texts)

"""Tools for templates that have none: a system message offers them, in Qwen's words, and calls and
their results are written as text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_OFFER = """You may call tools. They are:
{tools}
To call one, write nothing but
<tool_call>
{{"name": "its name", "arguments": {{its arguments}}}}
</tool_call>"""

Message = Mapping[str, Any]


def has_tools(messages: Sequence[Message], tools: Sequence[Any]) -> bool:
    """Whether a template without tools would lose something."""
    return bool(tools) or any(m.get("role") == "tool" or m.get("tool_calls") for m in messages)


def written(messages: Sequence[Message], tools: Sequence[Any]) -> list[dict[str, Any]]:
    """The conversation in texts by system, user and assistant."""
    plain = [_plain(message) for message in messages]
    if not tools:
        return plain
    offer = _OFFER.format(tools="\n".join(map(_json, tools)))
    if plain and plain[0]["role"] == "system":
        said = plain[0]["content"]
        return [{**plain[0], "content": f"{said}\n\n{offer}" if said else offer}, *plain[1:]]
    return [{"role": "system", "content": offer}, *plain]


def _plain(message: Message) -> dict[str, Any]:
    content = message.get("content") or ""
    if message.get("role") == "tool":
        return {"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"}
    calls = [_call(call["function"]) for call in message.get("tool_calls") or ()]
    texts = [content] if content else []
    return {"role": message["role"], "content": "\n".join(texts + calls)}


def _call(function: Mapping[str, Any]) -> str:
    arguments = function["arguments"]
    shown = arguments if isinstance(arguments, str) else _json(arguments)
    return f'<tool_call>\n{{"name": {_json(function["name"])}, "arguments": {shown}}}\n</tool_call>'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)

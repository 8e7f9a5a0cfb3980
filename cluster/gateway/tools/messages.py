"""Messages about calls, in a conversation that goes on: what was called, and what came of it."""

from typing import Any

import orjson

from cluster.gateway.fields import Fields
from cluster.gateway.tools.calling import TOOLS_MAX
from workers.errors import InvalidRequest


def read_calls(message: Fields) -> list[dict[str, Any]]:
    """`tool_calls` of an assistant's message, with arguments as templates read them: objects, not
    texts. Raises InvalidRequest by name.
    """
    raw = message.take("tool_calls")
    if not raw:
        return []
    if not isinstance(raw, list):
        raise message.wrong("tool_calls", raw, "a list of calls")
    if len(raw) > TOOLS_MAX:
        name = message.name("tool_calls")
        raise InvalidRequest(f"{name} has {len(raw)} entries: at most {TOOLS_MAX}", param=name)
    return [_call(Fields(one, message.name(f"tool_calls[{i}]"))) for i, one in enumerate(raw)]


def _call(call: Fields) -> dict[str, Any]:
    call_id = call.string("id")
    kind = call.take("type")
    if kind not in (None, "function"):
        raise call.wrong("type", kind, "'function'")
    inner = Fields(call.take("function"), call.name("function"))
    function = {"name": inner.string("name"), "arguments": _arguments(inner)}
    inner.refuse_rest(frozenset(), {})
    call.refuse_rest(frozenset(("index",)), {})
    return {"id": call_id, "type": "function", "function": function}


def _arguments(function: Fields) -> Any:
    """Of a call that was cut, or made up, they may be no JSON: then as they are."""
    text = function.string("arguments", "")
    if not text.strip():
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, dict) else text

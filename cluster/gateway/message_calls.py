"""Calls of tools in an assistant's message, in OpenAI's form."""

from typing import Any

import orjson

from cluster.gateway.fields import Fields
from configs import outside
from workers.errors import InvalidRequest


def read_calls(message: Fields, most: int) -> list[dict[str, Any]]:
    """None where there are none. Raises InvalidRequest."""
    raw = message.take("tool_calls")
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise message.wrong("tool_calls", raw, "a list of calls")
    name = message.name("tool_calls")
    if len(raw) > most:
        raise InvalidRequest(f"{name} has {len(raw)} entries: at most {most} are read", param=name)
    return [_call(Fields(call, f"{name}[{i}]")) for i, call in enumerate(raw)]


def _call(call: Fields) -> dict[str, Any]:
    call_id = call.string("id", "")
    kind = call.take("type")
    if kind not in (None, "function"):
        raise call.wrong("type", kind, "'function'")
    function = Fields(call.take("function"), call.name("function"))
    called = function.string("name")
    if not called:
        raise function.wrong("name", called, "a function's name")
    arguments = _arguments(function)
    function.refuse_rest(frozenset(), {})
    call.refuse_rest(frozenset(("index",)), {})  # as chunks of a stream number them
    told = {"type": "function", "function": {"name": called, "arguments": arguments}}
    return {"id": call_id, **told} if call_id else told


def _arguments(function: Fields) -> Any:
    """Templates are written for the object that they spell; what is none stays as the model, which
    may err, has written it.
    """
    given = function.take("arguments")
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}
    if not isinstance(given, str | dict):
        raise function.wrong("arguments", given, "an object, or a string of JSON")
    try:
        value = outside.load_json(given) if isinstance(given, str) else given
        orjson.dumps(value)  # what a journal could not hold: too deep, or numbers too large
    except (outside.Unreadable, TypeError) as error:
        if isinstance(given, str):
            return given
        raise function.wrong("arguments", given, "nested less deeply") from error
    return value if isinstance(value, dict) else given

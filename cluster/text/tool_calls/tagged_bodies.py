"""Calls that are written in tags, a value each: what is no string stands there as JSON."""

import json
import re
from collections.abc import Mapping
from typing import Any

from cluster.text.tool_calls.events import Call, Tools
from cluster.text.tool_calls.json_bodies import Malformed, write

_FUNCTION = re.compile(r"\s*<function=([^>\s]+)>(.*?)(?:</function>\s*)?", re.DOTALL)
# The line break before and behind a value is the format's.
_PARAMETER = re.compile(r"\s*<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>|\s*\Z", re.DOTALL)
_ARGUMENT = re.compile(
    r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>\n?(.*?)\n?</arg_value>|\s*\Z", re.DOTALL
)


def function_calls(body: str, tools: Tools) -> list[Call]:
    """`<function=name><parameter=key>value</parameter></function>` of Qwen3-Coder."""
    found = _FUNCTION.fullmatch(body)
    if found is None:
        raise Malformed("no function")
    return [_call(found[1], found[2], _PARAMETER, tools)]


def keyed_calls(body: str, tools: Tools) -> list[Call]:
    """`name<arg_key>key</arg_key><arg_value>value</arg_value>` of GLM-4.5."""
    name, mark, rest = body.partition("<arg_key>")
    return [_call(name.strip(), mark + rest, _ARGUMENT, tools)]


def _call(name: str, rest: str, pair: "re.Pattern[str]", tools: Tools) -> Call:
    if name not in tools:
        raise Malformed("no tool of that name")
    known = tools[name].get("properties")
    schemas: Mapping[str, Any] = known if isinstance(known, dict) else {}
    arguments: dict[str, Any] = {}
    position = 0
    while position < len(rest):
        found = pair.match(rest, position)
        if found is None:
            raise Malformed("something between the arguments")
        if found[1] is not None:
            key = found[1].strip()
            arguments[key] = _value(found[2], schemas.get(key))
        position = found.end()
    return Call(name, write(arguments))


def _value(text: str, schema: object) -> Any:
    """A string where the schema says so, or where it says nothing and the text is no JSON."""
    if isinstance(schema, dict) and schema.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text

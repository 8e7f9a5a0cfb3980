"""Calls that are written in JSON."""

import json
import re
from collections.abc import Sequence
from typing import Any

from cluster.text.tool_calls.events import Call, Tools

_NAMES, _ARGUMENTS = ("name", "tool_name"), ("arguments", "parameters")
_DECODER = json.JSONDecoder(parse_constant=lambda word: _refuse(f"{word} is no JSON"))
_FENCE = "```"
_NAME = re.compile(r"[\w.\-]{1,256}")


class Malformed(ValueError):
    """It is no call of a tool that was offered."""


class Unfinished(Malformed):
    """It stops inside a string: what looks like its end may be part of it."""


def json_calls(body: str, tools: Tools) -> list[Call]:
    """`{"name": ..., "arguments": {...}}`, a list of such, or several one after the other."""
    calls: list[Call] = []
    for value in _values(body):
        calls.extend(_call(one, tools) for one in (value if isinstance(value, list) else [value]))
    if not calls:
        raise Malformed("no call")
    return calls


def mistral_calls(body: str, tools: Tools) -> list[Call]:
    """What follows `[TOOL_CALLS]`: a list, or since v11 `name[CALL_ID]id[ARGS]{...}`."""
    name, marked, rest = body.partition("[ARGS]")
    if not marked:
        bare = re.match(r"\s*([\w.\-]+)\s*(?=\{)", body)
        if bare is None:
            return json_calls(body, tools)
        name, rest = bare[1], body[bare.end() :]
    name, _, call_id = name.partition("[CALL_ID]")
    return [named_call(name.strip(), rest, tools, call_id.strip())]


def deepseek_calls(body: str, tools: Tools) -> list[Call]:
    """`function<sep>name`, a line break and fenced JSON (V3, R1), or `name<sep>{...}` (V3.1)."""
    kind, marked, rest = body.partition("<｜tool▁sep｜>")
    if not marked:
        raise Malformed("no separator")
    name, fence, fenced = rest.partition(_FENCE)
    inside, closing, _ = fenced.partition(_FENCE)
    if kind.strip() == "function" and fence and closing:
        return [named_call(name.strip(), inside.removeprefix("json"), tools)]
    return [named_call(kind.strip(), rest, tools)]


def kimi_calls(body: str, tools: Tools) -> list[Call]:
    """`functions.name:0<|tool_call_argument_begin|>{...}`; what is before the mark is the id."""
    call_id, marked, rest = body.partition("<|tool_call_argument_begin|>")
    call_id = call_id.strip()
    name = call_id.removeprefix("functions.").rpartition(":")[0]
    if not marked or not name:
        raise Malformed("no name and number")
    return [named_call(name, rest, tools, call_id)]


def named_call(name: str, arguments: str, tools: Tools, call_id: str = "") -> Call:
    """Of a name, and arguments in JSON."""
    values = _values(arguments)
    if len(values) != 1:
        raise Malformed("arguments are not one object")
    return _call({"name": name, "arguments": values[0], "id": call_id}, tools)


def write(arguments: object) -> str:
    """Arguments as clients read them."""
    try:
        return json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error


def _call(value: Any, tools: Tools) -> Call:
    if not isinstance(value, dict):
        raise Malformed("no object")
    inner = value.get("function")
    if isinstance(inner, dict):  # as OpenAI itself writes them
        value = {"id": value.get("id"), **inner}
    name = next((value[key] for key in _NAMES if key in value), None)
    if not isinstance(name, str) or name not in tools:
        raise Malformed("no tool of that name")
    arguments: Any = next((value[key] for key in _ARGUMENTS if key in value), None)
    if isinstance(arguments, str):
        (arguments,) = _values(arguments) or ({},)
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise Malformed("arguments are no object")
    call_id = value.get("id")
    known = isinstance(call_id, str) and _NAME.fullmatch(call_id.replace(":", "."))
    return Call(name, write(arguments), str(call_id) if known else "")


def _values(text: str) -> Sequence[Any]:
    """JSON values one after the other, with white space, commas or semicolons between them."""
    values: list[Any] = []
    position = 0
    while position < len(text):
        if text[position] in " \t\r\n,;":
            position += 1
            continue
        try:
            value, position = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            kind = Unfinished if error.msg.startswith("Unterminated string") else Malformed
            raise kind(str(error)) from error
        except (ValueError, RecursionError) as error:
            raise Malformed(str(error)) from error
        values.append(value)
    return values


def _refuse(text: str) -> None:
    raise Malformed(text)

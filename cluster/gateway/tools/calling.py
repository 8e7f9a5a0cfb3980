"""`tools`, `tool_choice` and `parallel_tool_calls` of a chat."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from cluster.gateway.fields import Fields, shown
from cluster.gateway.json_schema import check_depth
from cluster.text.tool_calls.events import Tools
from workers.errors import InvalidRequest

TOOLS_MAX = 128  # OpenAI's limit
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

Mode = Literal["none", "auto", "required", "named"]


@dataclass(frozen=True, slots=True)
class Calling:
    """tools      as they came: what the template is given
    schemas    name -> schema of the arguments
    mode       whether the model may call, must call one of them, or the one that is `name`d
    parallel   whether one answer may have several calls
    """

    tools: tuple[Mapping[str, Any], ...]
    schemas: Tools
    mode: Mode
    name: str = ""
    parallel: bool = True

    @property
    def is_forced(self) -> bool:
        """Whether the answer is nothing but calls."""
        return self.mode in ("named", "required")

    @property
    def offered(self) -> tuple[Mapping[str, Any], ...]:
        """What the model hears of: nothing where it may not call."""
        return () if self.mode == "none" else self.tools


def read_calling(fields: Fields) -> Calling | None:
    """Take functions out of a request, and leave other tools where they are. Raises InvalidRequest
    by name.
    """
    raw = fields.take("tools")
    if not isinstance(raw, list) or not any(_is_function(tool) for tool in raw):
        fields.put("tools", raw)
        return None
    if len(raw) > TOOLS_MAX:
        raise InvalidRequest(
            f"tools has {len(raw)} entries: at most {TOOLS_MAX} are read", param="tools"
        )
    others = [tool for tool in raw if not _is_function(tool)]
    _check_others(others, raw)
    fields.put("tools", others or None)
    tools = [(i, tool) for i, tool in enumerate(raw) if _is_function(tool)]
    schemas: dict[str, Mapping[str, Any]] = {}
    for index, tool in tools:
        name, schema = _function(Fields(tool, f"tools[{index}]"))
        if name in schemas:
            raise InvalidRequest(f"tools has two functions {name!r}", param=f"tools[{index}]")
        schemas[name] = schema
    parallel = fields.boolean("parallel_tool_calls", True)
    calling = Calling(tuple(tool for _, tool in tools), schemas, "auto", parallel=parallel)
    return _chosen(calling, fields)


def _check_others(others: Sequence[object], raw: Sequence[object]) -> None:
    for tool in others:
        if not isinstance(tool, dict) or tool.get("type") != "file_search":
            name = f"tools[{raw.index(tool)}].type"
            kind = tool.get("type") if isinstance(tool, dict) else tool
            raise InvalidRequest(
                f"{name} is {shown(kind)}: it must be 'function' or 'file_search'", param=name
            )


def _is_function(tool: object) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "function"


def _function(tool: Fields) -> tuple[str, Mapping[str, Any]]:
    tool.take("type")
    inner = Fields(tool.take("function"), tool.name("function"))
    tool.refuse_rest(frozenset(), {})
    name = inner.string("name")
    if not _NAME.fullmatch(name):
        raise inner.wrong("name", name, "1 to 64 letters, digits, '_', '-' and '.'")
    inner.string("description", "")
    # A forced call keeps to the schema, strict or not; where the model chooses, it may not.
    inner.boolean("strict")
    schema = _arguments(inner)
    inner.refuse_rest(frozenset(), {})
    return name, schema


def _arguments(function: Fields) -> Mapping[str, Any]:
    """The schema of a function's arguments, which are an object whether or not it says so."""
    schema = function.take("parameters")
    if schema in (None, {}):  # without arguments, in either spelling
        return {"type": "object", "properties": {}, "additionalProperties": False}
    if not isinstance(schema, dict):
        raise function.wrong("parameters", schema, "a JSON schema, an object")
    kind = schema.get("type", "object")
    if "object" not in (kind if isinstance(kind, list) else [kind]):
        parameters = Fields(schema, function.name("parameters"))
        raise parameters.wrong("type", kind, "'object', as arguments are")
    check_depth(schema, function.name("parameters"))
    return {**schema, "type": "object"}


def _chosen(calling: Calling, fields: Fields) -> Calling:
    choice = fields.take("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        calling, choice = _allowed(calling, Fields(choice, "tool_choice"))
    if choice in (None, "auto"):
        return calling
    if choice == "none":
        fields.put("tool_choice", choice)  # other tools heed it, too
        return replace(calling, mode="none")
    if choice == "required":
        return replace(calling, mode="required")
    if isinstance(choice, dict) and choice.get("type") == "function":
        name = _named(Fields(choice, "tool_choice"))
        if name not in calling.schemas:
            known = ", ".join(calling.schemas)
            raise InvalidRequest(
                f"tool_choice names {shown(name)}, which is not among tools: {known:.200}",
                param="tool_choice",
            )
        return replace(calling, mode="named", name=name)
    if isinstance(choice, dict) and choice.get("type") == "file_search":
        fields.put("tool_choice", choice)
        return calling
    raise fields.wrong(
        "tool_choice",
        choice,
        '\'none\', \'auto\', \'required\', or {"type": "function", "function": {"name": ...}}',
    )


def _named(choice: Fields) -> str:
    choice.take("type")
    inner = Fields(choice.take("function"), choice.name("function"))
    choice.refuse_rest(frozenset(), {})
    name = inner.string("name")
    inner.refuse_rest(frozenset(), {})
    return name


def _allowed(calling: Calling, choice: Fields) -> tuple[Calling, object]:
    """Of the tools, these; and how they are chosen."""
    choice.take("type")
    inner = Fields(choice.take("allowed_tools"), choice.name("allowed_tools"))
    choice.refuse_rest(frozenset(), {})
    mode, raw = inner.take("mode"), inner.take("tools")
    if mode not in ("auto", "required"):
        raise inner.wrong("mode", mode, "'auto' or 'required'")
    if not isinstance(raw, list) or not raw:
        raise inner.wrong("tools", raw, 'a list of {"type": "function", ...}')
    inner.refuse_rest(frozenset(), {})
    names = [_named(Fields(one, inner.name(f"tools[{i}]"))) for i, one in enumerate(raw)]
    unknown = next((name for name in names if name not in calling.schemas), None)
    if unknown is not None:
        raise InvalidRequest(
            f"tool_choice allows {shown(unknown)}, which is not among tools", param="tool_choice"
        )
    schemas = {name: calling.schemas[name] for name in names}
    tools = tuple(tool for tool in calling.tools if tool["function"]["name"] in schemas)
    return replace(calling, tools=tools, schemas=schemas), mode

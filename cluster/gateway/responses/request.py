"""The body of POST /v1/responses: made into a chat's, and read as one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from typing import Any

from cluster.api.request import Request
from cluster.gateway.chat_request import parse_chat
from cluster.gateway.constraint import constrained, read_format
from cluster.gateway.fields import Fields
from cluster.gateway.generation import Generation
from cluster.gateway.naming import Name
from cluster.gateway.responses.items import Item, messages_of, read_items
from cluster.gateway.responses.naming import id_of
from cluster.gateway.responses.shelf import Shelf
from cluster.gateway.settings import GatewaySettings
from workers.errors import InvalidRequest
from workers.model.shaping import Constraint

# A chat's fields that are spelled in another way here.
_CHATS_OWN = frozenset(
    "messages n max_tokens max_completion_tokens response_format functions function_call logprobs"
    " stream_options add_generation_prompt continue_final_message echo".split()
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "conversation": (),
    "prompt": (),
    "truncation": ("disabled",),
    "top_logprobs": (0,),
    "context_management": ([],),
}
# Calls of tools that we do not run are not ours to count.
_IGNORED = ("max_tool_calls",)
_RESULTS = "file_search_call.results"
# What only models with reasoning of their own could add is understood, and never there.
_INCLUDES = ("reasoning.encrypted_content", _RESULTS)
METADATA_MAX = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """What a response tells of its request, and keeps for those that go on from it.

    query          what a file search looks for
    shows_results  whether its item shows what it found
    """

    echo: Mapping[str, Any]
    items: tuple[Item, ...]
    previous: str | None
    is_stored: bool
    query: str
    shows_results: bool


@dataclass(frozen=True, slots=True)
class ResponseGeneration(Generation):
    asked: Asked | None = None


def parse_response(
    body: object, name: Name, default_seed: int, settings: GatewaySettings, shelf: Shelf
) -> ResponseGeneration:
    """Raises InvalidRequest naming the first field that is wrong or not supported, and NotFound for
    a previous response that is not kept.
    """
    fields = Fields(body)
    most = settings.max_messages
    items = read_items(fields.take("input"), most)
    previous = fields.string("previous_response_id", "") or None
    instructions = fields.string("instructions", "") or None
    is_stored = fields.boolean("store", True)
    shows_results = _RESULTS in _include(fields)
    echo: dict[str, Any] = {"instructions": instructions, "metadata": _metadata(fields)}
    constraint, echo["text"] = _text(fields)
    echo["tools"], echo["tool_choice"] = fields.take("tools") or [], fields.take("tool_choice")
    echo["max_output_tokens"] = fields.integer("max_output_tokens", None, 1)
    echo["parallel_tool_calls"] = fields.boolean("parallel_tool_calls", True)
    chat = _chat_options(fields, echo)
    conversation = [*shelf.conversation(previous), *items]
    chat["messages"] = messages_of(conversation, most)
    if instructions:
        chat["messages"].insert(0, {"role": "system", "content": instructions})
    generation = parse_chat(chat, name, default_seed, settings)
    if constraint is not None and (generation.calling is None or not generation.calling.is_forced):
        generation = replace(
            generation, requests=tuple(_shaped(r, constraint) for r in generation.requests)
        )
    known = {field.name: getattr(generation, field.name) for field in fields_of(Generation)}
    known["response_id"] = id_of("resp", name.answer)
    query = next((m["content"] for m in chat["messages"][::-1] if m["role"] == "user"), "")
    asked = Asked(_full(echo, generation), tuple(items), previous, is_stored, query, shows_results)
    return ResponseGeneration(**known, asked=asked)


def _shaped(request: Request, constraint: Constraint) -> Request:
    return replace(request, sampling=constrained(request.sampling, constraint))


def _full(echo: dict[str, Any], generation: Generation) -> dict[str, Any]:
    sampling = generation.requests[0].sampling
    return echo | {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "tool_choice": echo["tool_choice"] or "auto",
    }


def _chat_options(fields: Fields, echo: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of the body as a chat spells it; what neither knows, the chat refuses by name."""
    _take_stream_options(fields)
    reasoning = Fields(fields.take("reasoning") or {}, "reasoning")
    reasoning.refuse_rest(frozenset(("summary", "generate_summary")), {"effort": ("none",)})
    chat: dict[str, Any] = {}
    if echo["tools"]:
        chat["tools"] = _tools(fields, echo["tools"])
    if echo["tool_choice"] is not None:
        chat["tool_choice"] = _tool_choice(echo["tool_choice"])
    chat["max_completion_tokens"] = echo["max_output_tokens"]
    chat["parallel_tool_calls"] = echo["parallel_tool_calls"]
    neutral = {key: fields.take(key) for key in (*_NEUTRAL, *_IGNORED, *_CHATS_OWN)}
    for key in _IGNORED:
        del neutral[key]
    Fields(neutral).refuse_rest(frozenset(), _NEUTRAL)
    return chat | fields.rest()


def _tools(fields: Fields, tools: object) -> list[Any]:
    """Functions one level deeper, as a chat has them; others as they are."""
    if not isinstance(tools, list):
        raise fields.wrong("tools", tools, "a list of tools")
    chat: list[Any] = []
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict) or tool.get("type") != "function":
            chat.append(tool)
            continue
        read = Fields(tool, f"tools[{index}]")
        function: dict[str, Any] = {"name": read.string("name")}
        function |= {key: read.take(key) for key in ("description", "parameters", "strict")}
        read.refuse_rest(frozenset(("type",)), {"defer_loading": (False,)})
        known = {key: value for key, value in function.items() if value is not None}
        chat.append({"type": "function", "function": known})
    return chat


def _tool_choice(choice: object) -> object:
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") == "function":
        rest = {key: value for key, value in choice.items() if key != "type"}
        return {"type": "function", "function": rest}
    if choice.get("type") == "allowed_tools":
        rest = {key: value for key, value in choice.items() if key != "type"}
        if isinstance(rest.get("tools"), list):
            rest["tools"] = [_tool_choice(tool) for tool in rest["tools"]]
        return {"type": "allowed_tools", "allowed_tools": rest}
    return choice


def _text(fields: Fields) -> tuple[Constraint | None, dict[str, Any]]:
    raw = fields.take("text")
    text = Fields({} if raw is None else raw, "text")
    raw_format: Any = text.take("format")
    verbosity: Any = text.given("verbosity")
    text.refuse_rest(frozenset(), {"verbosity": ("medium",)})
    constraint = None
    if raw_format is not None:
        constraint = read_format(Fields(raw_format, "text.format"), "")
    shown = {"format": raw_format or {"type": "text"}}
    return constraint, shown if verbosity is None else shown | {"verbosity": verbosity}


def _metadata(fields: Fields) -> Any:
    metadata: Any = fields.take("metadata")
    if metadata is None:
        return {}
    if (
        not isinstance(metadata, dict)
        or len(metadata) > METADATA_MAX
        or any(not isinstance(value, str) for value in metadata.values())
    ):
        raise fields.wrong("metadata", metadata, f"an object of at most {METADATA_MAX} strings")
    return metadata


def _include(fields: Fields) -> list[Any]:
    include: Any = fields.take("include") or []
    if not isinstance(include, list):
        raise fields.wrong("include", include, "a list")
    unknown = next((one for one in include if one not in _INCLUDES), None)
    if unknown is not None:
        raise InvalidRequest(
            f"include names {unknown!r:.80}, which is not supported: remove it", param="include"
        )
    return include


def _take_stream_options(fields: Fields) -> None:
    """Padding against traffic analysis is all that they are about; there is none."""
    options = fields.take("stream_options")
    if options is not None:
        inner = Fields(options, "stream_options")
        inner.boolean("include_obfuscation")
        inner.refuse_rest(frozenset(), {})

"""What users and tools say to each other, in the shapes that clients send."""

from typing import Any

Conversation = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'The weather at a place: "now" & <soon> in °C.',
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A city, e.g. Zürich"},
                "days": {"type": "integer", "default": 1},
                "unit": {"type": "string", "enum": ["C", "F"]},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["place"],
        },
    },
}
SEARCH = {
    "type": "function",
    "function": {"name": "search", "description": "", "parameters": {"type": "object"}},
}

SYSTEM = {"role": "system", "content": "You are brief.\nAnswer in <b>one</b> line."}
USER = {"role": "user", "content": "  How is Zürich & 漢字 today? 'quoted' \"twice\" \n"}
ANSWER = {"role": "assistant", "content": "Sunny.\n\nAnd warm. "}
AGAIN = {"role": "user", "content": "And tomorrow?"}
PARTS = [{"type": "text", "text": "First part."}, {"type": "text", "text": "Second <part>."}]
ARGUMENTS = {"place": "Zürich", "days": 2, "tags": ["a", "<b>"], "unit": None}


def _call(arguments: Any, name: str = "get_weather") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": "call12345", "type": "function", "function": function}


def _called(arguments: Any, content: str | None = None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": [_call(arguments)], **more}


RESULT = {
    "role": "tool",
    "tool_call_id": "call12345",
    "name": "get_weather",
    "content": '{"sky": "clear", "°C": 21.5}',
}
TWO_CALLS = {
    "role": "assistant",
    "content": "",
    "tool_calls": [_call({"place": "Ulm"}), _call({}, "search") | {"id": "call67890"}],
}
TWO_RESULTS = [RESULT, RESULT | {"tool_call_id": "call67890", "name": "search", "content": "none"}]
THOUGHT = {"role": "assistant", "content": "Sunny.", "reasoning_content": "He asks.\nI look."}
IN_TEXT = {"role": "assistant", "content": "<think>\nHe asks.\n</think>\n\nSunny."}
TOOLS = [WEATHER, SEARCH]

CONVERSATIONS: dict[str, Conversation] = {
    "one message": ([USER], [], {}),
    "a system message": ([SYSTEM, USER], [], {}),
    "several turns": ([SYSTEM, USER, ANSWER, AGAIN], [], {}),
    "an answer last": ([USER, ANSWER], [], {}),
    "a system message later": ([USER, ANSWER, SYSTEM, AGAIN], [], {}),
    "the user twice": ([USER, AGAIN], [], {}),
    "a developer": ([SYSTEM | {"role": "developer"}, USER], [], {}),
    "parts": ([USER | {"content": PARTS}], [], {}),
    "parts of all": ([m | {"content": PARTS} for m in (SYSTEM, USER, ANSWER, AGAIN)], [], {}),
    "nothing said": ([USER | {"content": ""}], [], {}),
    "tools": ([SYSTEM, USER], TOOLS, {}),
    "tools, no system message": ([USER], TOOLS, {}),
    "a call": ([USER, _called(ARGUMENTS)], TOOLS, {}),
    "a call, arguments as text": ([USER, _called('{"place": "Zürich"}')], TOOLS, {}),
    "a call and its result": ([SYSTEM, USER, _called(ARGUMENTS), RESULT], TOOLS, {}),
    "a call, its result, an answer": (
        [SYSTEM, USER, _called(ARGUMENTS, "I look."), RESULT, ANSWER, AGAIN], TOOLS, {},
    ),
    "two calls": ([USER, TWO_CALLS, *TWO_RESULTS], TOOLS, {}),
    "a call, no tools": ([USER, _called(ARGUMENTS), RESULT, ANSWER, AGAIN], [], {}),
    "thought": ([USER, THOUGHT, AGAIN], [], {}),
    "thought in the text": ([USER, IN_TEXT, AGAIN], [], {}),
    "thought before a call": (
        [USER, _called(ARGUMENTS, "", reasoning_content="I look."), RESULT], TOOLS, {},
    ),
    "thinking asked for": ([SYSTEM, USER], [], {"enable_thinking": True, "thinking": True}),
    "thinking unwanted": ([USER], [], {"enable_thinking": False, "thinking": False}),
    "an effort": ([USER], TOOLS, {"reasoning_effort": "high"}),
    "documents": ([USER], [], {"documents": [{"title": "Sky", "text": "It is blue."}]}),
    "no such role": ([{"role": "robot", "content": "beep"}], [], {}),
}  # fmt: skip

"""What a model may be led to write: reading it takes time that grows with its length, no faster.

A stream is read on the event loop, so a body that takes seconds would hold everybody up.
"""

import time

import pytest

from cluster.text.tool_calls.events import HELD_MAX, Said
from cluster.text.tool_calls.formats import FORMATS
from cluster.text.tool_calls.marked import SPACE_MAX

TOOLS = {"f": {"properties": {}}}
BODIES = {
    "hermes": ('<tool_call>{"name": "f", "arguments": {', "</tool_call>"),
    "deepseek": ("<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json", "<｜tool▁call▁end｜>"),
    "mistral": ("[TOOL_CALLS]", ""),
    "qwen3_coder": ("<tool_call><function=f>", "</tool_call>"),
    "glm": ("<tool_call>f<arg_key>a</arg_key><arg_value>", "</tool_call>"),
    "kimi_k2": (
        "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>", "<|tool_call_end|>",
    ),
    "harmony": ("<|channel|>commentary to=functions.f<|message|>", "<|call|>"),
}  # fmt: skip
FILLS = (
    " ", "\n", "[", '{"a":', '"a', ", ", "```", "<arg_key>", "<parameter=a>", "</parameter>",
    "<parameter=a></parameter>", "<arg_key>a</arg_key><arg_value></arg_value>", "</function> ",
)  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_long_body_takes_no_seconds(name: str) -> None:
    begin, end = BODIES[name]
    for fill in FILLS:
        parser = FORMATS[name].parser(TOOLS)
        body = fill * ((HELD_MAX - 200) // len(fill))
        start_s = time.thread_time()
        for piece in (begin, body[: len(body) // 2], body[len(body) // 2 :], end):
            parser.push(piece)
        parser.finish()
        assert time.thread_time() - start_s < 2, fill


@pytest.mark.parametrize("name", BODIES)
def test_white_space_that_goes_on_is_told(name: str) -> None:
    parser = FORMATS[name].parser(TOOLS)
    parser.push("So")
    told = [event for _ in range(20 * SPACE_MAX) for event in parser.push(" ")]
    assert sum(len(e.text) for e in told if isinstance(e, Said)) >= 18 * SPACE_MAX

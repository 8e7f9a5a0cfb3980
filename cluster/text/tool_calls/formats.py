"""Which format a chat template teaches, by what its source contains."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cluster.text.tool_calls.events import Parser, Tools
from cluster.text.tool_calls.harmony import MARKS, HarmonyParser
from cluster.text.tool_calls.json_bodies import (
    deepseek_calls,
    json_calls,
    kimi_calls,
    mistral_calls,
)
from cluster.text.tool_calls.marked import MarkedParser, Marks, Read
from cluster.text.tool_calls.tagged_bodies import function_calls, keyed_calls

# What templates call the list; those that never do cannot show tools.
_TOOLS = re.compile(r"\btools\b")


@dataclass(frozen=True, slots=True)
class Format:
    """signs     a template of this family has all of these in its source
    marks     special tokens that its calls are made of: an answer shows them
    parser    of one answer
    id_chars  how long ids of calls are, in letters and digits; 0: as OpenAI has them
    """

    signs: Sequence[str]
    marks: Sequence[str]
    parser: Callable[[Tools], Parser]
    id_chars: int = 0


def _marked(marks: Marks, read: Read) -> Callable[[Tools], Parser]:
    return partial(MarkedParser, marks, read)


def _simple(begin: str, end: str, read: Read, sign: str = "") -> Format:
    return Format((sign or begin,), (begin, end), _marked(Marks(begin, end), read))


_DEEPSEEK = tuple(f"<｜tool▁{word}｜>" for word in ("calls▁begin", "calls▁end"))
_KIMI = tuple(f"<|tool_calls_section_{word}|>" for word in ("begin", "end"))

# The first whose signs are all there: the more special ones stand first.
FORMATS = {
    "kimi_k2": Format(
        ("<|tool_call_begin|>",),
        (*_KIMI, "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"),
        _marked(Marks("<|tool_call_begin|>", "<|tool_call_end|>", _KIMI), kimi_calls),
    ),
    "deepseek": Format(
        ("<｜tool▁call▁begin｜>",),
        (*_DEEPSEEK, "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"),
        _marked(Marks("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", _DEEPSEEK), deepseek_calls),
    ),
    "mistral": Format(
        ("[TOOL_CALLS]",),
        ("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"),
        _marked(Marks("[TOOL_CALLS]"), mistral_calls),
        id_chars=9,  # its templates refuse any other
    ),
    "harmony": Format(("<|channel|>", "<|call|>"), MARKS, HarmonyParser),
    "glm": _simple("<tool_call>", "</tool_call>", keyed_calls, sign="<arg_key>"),
    "qwen3_coder": _simple("<tool_call>", "</tool_call>", function_calls, sign="<function="),
    "hermes": _simple("<tool_call>", "</tool_call>", json_calls),
    "nemotron": _simple("<TOOLCALL>", "</TOOLCALL>", json_calls),
    "command": _simple("<|START_ACTION|>", "<|END_ACTION|>", json_calls),
    "phi4": _simple("<|tool_call|>", "<|/tool_call|>", json_calls, sign="<|/tool_call|>"),
    "granite": Format(
        ("<|tool_call|>",), ("<|tool_call|>",), _marked(Marks("<|tool_call|>"), json_calls)
    ),
    # Llama 3, and whatever else shows tools in a way that is not known here.
    "json": Format(
        (),
        ("<|python_tag|>",),
        _marked(Marks("<|python_tag|>", is_bare=True), json_calls),
    ),
}
# For templates that show none: `plain_templates` writes it for them.
PLAIN = "hermes"


def format_of(source: str | None) -> str:
    """The name of the format that a template's source teaches; PLAIN where it shows no tools."""
    if not shows_tools(source):
        return PLAIN
    assert source is not None
    return next(name for name, f in FORMATS.items() if all(sign in source for sign in f.signs))


def shows_tools(source: str | None) -> bool:
    return source is not None and _TOOLS.search(source) is not None

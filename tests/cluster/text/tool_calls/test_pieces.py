"""However an answer comes in pieces, the same is found in it."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.text.tool_calls.events import HELD_MAX, Argued, Begun, Event, Said, Thought
from cluster.text.tool_calls.formats import FORMATS
from cluster.text.tool_calls.harmony import HarmonyParser

TOOLS = {"f": {"properties": {"a": {}}}}
WORDS = (
    " ", "\n", "x", "hello ", "{", "}", '{"a": 1}', '{"name": "f", "arguments": {}}', '"<', "<|",
    "assistant", "analysis", "final", "commentary to=functions.f ", "to=f", "f", "functions.f:0",
    "function", "```json\n", "\n```", "<function=f>", "</function>", "<parameter=a>1</parameter>",
    "<arg_key>a</arg_key>", "<arg_value>1</arg_value>",
)  # fmt: skip


def read(name: str, pieces: list[str]) -> list[Event]:
    """Events, where texts of one kind that follow each other are one."""
    parser = FORMATS[name].parser(TOOLS)
    events = [event for piece in pieces for event in parser.push(piece)] + parser.finish()
    joined: list[Event] = []
    for kind, same in itertools.groupby(events, type):
        if kind is Said or kind is Thought or kind is Argued:
            joined.append(kind("".join(event.text for event in same)))  # type: ignore[union-attr]
        else:
            joined.extend(same)
    return joined


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_pieces_do_not_matter(name: str, data: st.DataObject) -> None:
    marks = (*FORMATS[name].marks, *(mark[:-1] for mark in FORMATS[name].marks))
    parts = st.lists(st.sampled_from((*WORDS, *marks, *marks)), max_size=14)
    text = "".join(data.draw(parts))
    cuts = data.draw(st.lists(st.integers(0, 400), max_size=8))
    whole = read(name, [text])
    assert read(name, pieces_of(text, cuts)) == whole
    assert read(name, list(text)) == whole


def test_text_before_a_header_is_text_with_its_marks() -> None:
    text = "hello <|channel|>analysis<|message|>think<|end|>x"
    told = [Said("hello <|channel|>analysis<|message|>thinkx")]
    assert read("harmony", [text]) == read("harmony", list(text)) == told
    text = "hello<|channel|>final text<|message|>"
    assert read("harmony", [text]) == read("harmony", list(text)) == [Said(text)]


def test_bounds_do_not_depend_on_pieces() -> None:
    long = "<|channel|>final" + " " * 600 + "<|message|>x"
    assert read("harmony", [long]) == read("harmony", list(long)) == [Said(long)]
    begin = "<|channel|>commentary to=functions.f<|message|>"
    for size in (HELD_MAX - 2, HELD_MAX - 1):
        body = "{" + " " * size + "}"
        parser = HarmonyParser(TOOLS)
        once = [*parser.push(f"{begin}{body}<|call|>"), *parser.finish()]
        parser = HarmonyParser(TOOLS)
        split = [e for part in (begin, body, "<|call|>") for e in parser.push(part)]
        assert any(isinstance(e, Begun) for e in once) == (size == HELD_MAX - 2)
        assert any(isinstance(e, Begun) for e in split) == (size == HELD_MAX - 2)

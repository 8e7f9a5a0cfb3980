"""Calls that a grammar has enforced."""

import pytest

from cluster.text.tool_calls.events import Argued, Begun
from cluster.text.tool_calls.forced import NamedParser, RequiredParser

TOOLS = {"f": {}, "g": {}}


def test_the_arguments_of_a_named_tool_are_told_as_they_come() -> None:
    parser = NamedParser("f")
    assert parser.push("") == []
    assert parser.push('{"a"') == [Begun("f"), Argued('{"a"')]
    assert parser.push(": 1}") == [Argued(": 1}")]
    assert parser.finish() == []


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_each_required_call_is_told_when_it_is_whole(size) -> None:
    text = ' [ {"name": "f", "arguments": {"a": "}\\"]["}} ,\n{"name": "g", "arguments": {}}]'
    parser = RequiredParser(TOOLS)
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    events = [event for piece in pieces for event in parser.push(piece)]
    assert events == [Begun("f"), Argued('{"a": "}\\"]["}'), Begun("g"), Argued("{}")]
    assert parser.finish() == []


CALL = '[{"name": "f", "arguments": {"a": "x"}}'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", []),
        ("[", []),
        ('[{"name":', []),
        ('[{"name": "f', []),
        ('[{"name": "f"', [Begun("f")]),
        ('[{"name": "f", "argu', [Begun("f")]),
        ('[{"name": "f","arguments":', [Begun("f")]),
        ('[{"name": "f", "arguments": {"a": "}', [Begun("f"), Argued('{"a": "}')]),
        (CALL, [Begun("f"), Argued('{"a": "x"}')]),
        (f"{CALL}, ", [Begun("f"), Argued('{"a": "x"}')]),
        (f'{CALL},{{"name": "g","', [Begun("f"), Argued('{"a": "x"}'), Begun("g")]),
    ],
)
def test_of_a_required_call_that_was_cut_its_name_and_arguments_are_told(text, told) -> None:
    for size in (1, 1000):
        parser = RequiredParser(TOOLS)
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        assert [e for piece in pieces for e in parser.push(piece)] + parser.finish() == told

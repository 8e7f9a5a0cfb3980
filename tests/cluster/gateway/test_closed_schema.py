"""Schemas of forced calls: closed where they leave open what else there is."""

import pytest

from cluster.gateway.closed_schema import closed

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},  # anything goes: there is nothing to close
        {"properties": {"a": TEXT}, "additionalProperties": True},
        {"properties": {"a": TEXT}, "additionalProperties": TEXT},
        {"properties": {"a": TEXT}, "patternProperties": {"^x": TEXT}},
        {"properties": {"a": TEXT}, "allOf": [{"properties": {"b": TEXT}}]},
        {"allOf": [{"properties": {"a": TEXT}}, {"properties": {"b": TEXT}}]},
        {"allOf": [{"$ref": "#/$defs/B"}, {"required": ["c"]}], "$defs": {"B": {"properties": {}}}},
        {"properties": {"a": TEXT}, "if": {"properties": {"a": {"const": "x"}}}},
        {"properties": {"o": {"properties": {"a": TEXT}, "$ref": "#/$defs/B"}}},
        {"enum": [{"properties": {}}], "default": {"properties": {}}},
    ],
)
def test_what_says_so_stays_open(schema):
    assert closed(schema) == schema


def test_objects_are_closed_wherever_they_stand():
    inner = {"properties": {"b": TEXT}}
    shut = {**inner, "additionalProperties": False}
    schema = {"properties": {"properties": inner, "l": {"items": inner}}, "$defs": {"D": inner}}
    assert closed(schema) == {
        "properties": {"properties": shut, "l": {"items": shut}},
        "$defs": {"D": shut},
        "additionalProperties": False,
    }


def test_alternatives_and_what_stands_alone_in_all_of_are_closed():
    inner = {"properties": {"b": TEXT}}
    shut = {**inner, "additionalProperties": False}
    for key in ("anyOf", "oneOf", "allOf"):
        assert closed({key: [inner]}) == {key: [shut]}
    assert closed({"anyOf": [inner, {"type": "null"}]}) == {"anyOf": [shut, {"type": "null"}]}


def test_references_move_with_it():
    schema = {"properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#"}}, "$defs": {"A": TEXT}}
    moved = closed(schema, "#/$defs/tool_0")["properties"]
    assert moved == {"a": {"$ref": "#/$defs/tool_0/$defs/A"}, "b": {"$ref": "#/$defs/tool_0"}}
    assert closed({"$ref": "http://elsewhere/x"}, "#/y") == {"$ref": "http://elsewhere/x"}


def test_anchors_are_the_tool_s_own_and_what_has_an_id_keeps_its_references() -> None:
    schema = {"properties": {"a": {"$ref": "#foo"}}, "$defs": {"A": {"$anchor": "foo"}}}
    assert closed(schema)["properties"] == schema["properties"]
    moved = closed(schema, "#/$defs/tool_0")
    assert moved["properties"] == {"a": {"$ref": "#foo-tool_0"}}
    assert moved["$defs"] == {"A": {"$anchor": "foo-tool_0"}}
    inner = {"$id": "b", "items": {"$ref": "#/$defs/A"}, "$defs": {"A": {"$anchor": "foo"}}}
    assert closed({"items": inner}, "#/$defs/tool_0") == {"items": inner}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": TEXT}, "required": ["b"]},
        {"required": ["a"], "anyOf": [{"properties": {"b": TEXT}}]},
    ],
)
def test_names_that_must_come_are_not_shut_out(schema) -> None:
    assert closed(schema) == schema

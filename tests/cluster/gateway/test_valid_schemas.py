"""Schemas that are right and ask for nothing special are not refused."""

from typing import Any

import pytest

from tests.cluster.gateway.schemas import lets_through, refusal

A = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}
B = {"type": "object", "properties": {"a": {"const": 2}}, "required": ["a"]}


@pytest.mark.parametrize(
    "neutral",
    [
        {"uniqueItems": False},
        {"propertyNames": True},
        {"propertyNames": {}},
        {"unevaluatedItems": True},
        {"unevaluatedProperties": True},
        {"dependentRequired": {}},
        {"dependentSchemas": {}},
        {"dependencies": {}},
        {"not": False},
        {"minContains": 1, "maxContains": 2},
        {"if": {"const": 1}},
        {"then": False, "else": False},
    ],
)
def test_keywords_that_ask_for_nothing_are_left_out(neutral: Any) -> None:
    assert lets_through({"type": "array", "items": {"const": 1}} | neutral, "[1, 1]")


@pytest.mark.parametrize(
    "asked",
    [
        {"uniqueItems": True},
        {"uniqueItems": 0},
        {"not": {}},
        {"if": {"const": 1}, "then": {"const": 1}},
        {"contains": {"const": 1}, "minContains": 1},
        {"propertyNames": False},
    ],
)
def test_those_that_ask_for_something_are_refused(asked: Any) -> None:
    assert next(iter(asked)) in refusal(asked)


def test_what_is_open_stays_open() -> None:
    assert lets_through(A | {"unevaluatedProperties": True}, '{"a":1,"b":2}')
    assert not lets_through(A, '{"a":1,"b":2}')


@pytest.mark.parametrize(
    ("branches", "text"),
    [
        ([{"const": 1}, {"const": 2}], "2"),
        ([{"enum": [1, 2]}, {"const": True, "title": "T"}, {"const": "1"}], "true"),
        ([A, B], '{"a":2}'),
        ([{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}], '{"a":2}'),
    ],
)
def test_constants_tell_branches_of_one_of_apart(branches: Any, text: str) -> None:
    asked = {"oneOf": branches, "$defs": {"A": A, "B": B}}
    assert lets_through(asked, text) and not lets_through(asked, "3")


@pytest.mark.parametrize(
    "branches",
    [
        [{"const": 1}, {"const": 1.0}],
        [{"const": 1}, {"type": "integer"}],
        [A, A],
        [A, {k: v for k, v in B.items() if k != "required"}],
        [A, {k: v for k, v in B.items() if k != "type"}],
    ],
)
def test_other_branches_of_one_of_are_refused_in_the_users_words(branches: Any) -> None:
    told = refusal({"oneOf": branches})
    assert '"oneOf" whose branches' in told and "coerce" not in told


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"type": "object", "required": ["x"], "properties": {}}, '{"x":1}'),
        ({"required": ["a"], "anyOf": [{"properties": {"b": {"const": 1}}}]}, '{"b":1,"a":2}'),
        ({"allOf": [{"properties": {"b": {"const": 1}}}], "required": ["a"]}, '{"b":1,"a":2}'),
    ],
)
def test_a_required_name_that_no_property_has_stays_possible(asked: Any, text: str) -> None:
    assert lets_through(asked, text)


def nested(levels: int) -> Any:
    schema: Any = {"const": 1}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def test_the_levels_that_are_promised_are_read() -> None:
    assert refusal(nested(59)) == ""
    assert "at most 120 levels" in refusal(nested(60))


def test_thousands_of_properties_may_be_left_out() -> None:
    many = {"type": "object", "properties": {f"p{i}": {"const": 1} for i in range(2001)}}
    assert "2001 optional properties: at most 2000" in refusal(many)
    assert lets_through(many | {"required": ["p0"]}, '{"p0":1,"p1500":1}')

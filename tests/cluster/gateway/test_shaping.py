"""Structured output, biases and penalties as clients send them: read, or refused by name."""

import asyncio
import json
from typing import Any

import pytest

from cluster.gateway.chat_request import parse_chat
from cluster.gateway.constraint import constrained, read_format
from cluster.gateway.fields import Fields
from cluster.gateway.json_schema import INTEGER_MAX, INTEGER_MIN, INTEGERS_MAX, json_schema
from cluster.gateway.naming import Name
from cluster.gateway.settings import GatewaySettings
from tests.cluster.gateway.fake_router import world
from workers.errors import InvalidRequest
from workers.model.grammar import check
from workers.model.shaping import Constraint, Shaping

# As pydantic writes it, and openai's helpers, instructor and langchain send it: titles, defaults,
# formats of pydantic's own, a union told apart by a constant, a reference to itself.
PYDANTIC: dict[str, Any] = {
    "$defs": {
        "Cat": {
            "type": "object",
            "title": "Cat",
            "description": "A cat.",
            "properties": {
                "kind": {"const": "cat", "title": "Kind", "type": "string", "default": "cat"},
                "id": {"type": "string", "format": "uuid4", "title": "Id"},
                "born": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            },
            "required": ["kind", "id", "born"],
            "additionalProperties": False,
        },
        "Dog": {
            "type": "object",
            "properties": {
                "kind": {"const": "dog", "type": "string"},
                "puppies": {"type": "array", "items": {"$ref": "#/$defs/Dog"}},
            },
            "required": ["kind", "puppies"],
            "additionalProperties": False,
        },
    },
    "type": "object",
    "properties": {
        "pet": {
            "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
            "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/Cat"}},
        },
        "photo": {"type": "string", "format": "binary", "contentEncoding": "base64"},
        "format": {"type": "string", "format": "path"},
    },
    "required": ["pet", "photo", "format"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "P", "strict": True, "schema": PYDANTIC}}


def shaping(**fields: Any) -> Shaping | None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}
    parsed = parse_chat(body, Name("r", "r"), 0, GatewaySettings())
    return parsed.requests[0].sampling.shaping


def constraint(**fields: Any) -> Constraint:
    found = shaping(**fields)
    assert found is not None
    assert found.constraint is not None
    check(found.constraint)
    return found.constraint


def test_what_changes_nothing_is_nothing() -> None:
    neutral = {"logit_bias": {}, "presence_penalty": 0, "repetition_penalty": 1}
    assert shaping(**neutral, response_format={"type": "text"}) is None
    assert shaping(logit_bias={"7": 0}, response_format=None) is None


def test_biases_and_penalties_are_read() -> None:
    found = shaping(logit_bias={"9": -100, "5": 1.5}, presence_penalty=-2, frequency_penalty=2)
    assert found == Shaping(None, ((5, 1.5), (9, -100.0)), -2.0, 2.0)


def test_openai_s_formats() -> None:
    assert constraint(response_format={"type": "json_object"}).text == '{"type":"object"}'
    found = constraint(response_format=FORMAT)
    assert found.said_by == "response_format.json_schema.schema"
    kept = json.loads(found.text)
    assert kept["$defs"]["Cat"]["properties"]["born"]["anyOf"][0]["format"] == "date"
    assert "format" not in kept["properties"]["photo"], "the standard has unknown formats ignored"
    assert kept["properties"]["format"] == {"type": "string"}


@pytest.mark.parametrize(
    ("key", "asked", "kind"),
    [
        ("json", {"type": "integer"}, "json_schema"),
        ("json", '{"type": "integer"}', "json_schema"),
        ("regex", "[a-z]+", "regex"),
        ("choice", ["yes", 'n"o', "::="], "choice"),
        ("grammar", 'root ::= "a" | "b" root', "grammar"),
        ("grammar", 'start: "a"', "grammar"),
    ],
)
def test_vllm_s_spellings(key: str, asked: Any, kind: str) -> None:
    new, old = constraint(structured_outputs={key: asked}), constraint(**{f"guided_{key}": asked})
    assert (new, new.kind) == (old, kind)
    assert (new.said_by, old.said_by) == (f"structured_outputs.{key}", f"guided_{key}")


@pytest.mark.parametrize(
    ("asked", "added"),
    [
        ({"type": "integer"}, {"minimum": INTEGER_MIN, "maximum": INTEGER_MAX}),
        ({"type": ["integer", "null"]}, {"minimum": INTEGER_MIN, "maximum": INTEGER_MAX}),
        ({"type": "integer", "minimum": 0}, {"maximum": INTEGER_MAX}),
        ({"type": "integer", "exclusiveMaximum": 0}, {"minimum": INTEGER_MIN}),
        ({"type": "integer", "minimum": 3, "maximum": 5}, {}),
        ({"type": "integer", "enum": [1, 10**19]}, {}),
        ({"type": "integer", "multipleOf": 5, "minimum": -5}, {"maximum": INTEGER_MAX}),
        ({"type": "number"}, {}),
        ({"type": ["integer", "number"]}, {}),
        ({"enum": [{"type": "integer"}]}, {}),
    ],
)
def test_integers_end(asked: dict[str, Any], added: dict[str, int]) -> None:
    given = {"$defs": {"n": asked}, "properties": {"type": {"$ref": "#/$defs/n"}}}
    found = constraint(guided_json=given)
    assert json.loads(found.text)["$defs"]["n"] == asked | added
    assert "minimum" not in given["$defs"]["n"] or "minimum" in asked  # it is the user's


def test_of_too_many_integers_none_is_bounded() -> None:
    asked = {"properties": {f"n{i}": {"type": "integer"} for i in range(INTEGERS_MAX + 1)}}
    found = json.loads(constraint(guided_json=asked).text)
    assert found == asked | {"additionalProperties": False}


def test_what_a_schema_does_not_name_is_left_out_unless_it_says_so() -> None:
    asked: dict[str, Any] = {
        "$defs": {"a": {"properties": {"x": {}}}},
        "properties": {"a": {"$ref": "#/$defs/a"}},
    }
    found = json.loads(constraint(guided_json=asked).text)
    assert found["additionalProperties"] is found["$defs"]["a"]["additionalProperties"] is False
    asked["additionalProperties"] = True
    found = json.loads(constraint(guided_json=asked).text)
    assert found["additionalProperties"] is True


def test_responses_have_the_schema_beside_the_type() -> None:
    flat = {"type": "json_schema", "name": "P", "schema": PYDANTIC, "strict": True}
    found = read_format(Fields(flat, "text.format"), "")
    assert found == constraint(response_format=FORMAT)
    assert found is not None
    assert found.said_by == "text.format.schema"


def test_a_second_constraint_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="both given"):
        shaping(response_format={"type": "json_object"}, guided_regex="a")
    parsed = parse_chat(
        {"model": "m", "messages": [{"role": "user", "content": "x"}], "presence_penalty": 1},
        Name("r", "r"), 0, GatewaySettings(),
    )  # fmt: skip
    params = constrained(parsed.requests[0].sampling, json_schema({}, "tools"))
    assert params.shaping is not None and params.shaping.presence_penalty == 1
    with pytest.raises(InvalidRequest, match="both given"):
        constrained(params, json_schema({}, "tools"))


DEEP: dict[str, Any] = {}
for _ in range(300):
    DEEP = {"items": DEEP}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("logit_bias", {"logit_bias": [5]}, "object"),
    ("logit_bias", {"logit_bias": {"-1": 1}}, "-1"),
    ("logit_bias", {"logit_bias": {"5": None}}, "5"),
    ("logit_bias", {"logit_bias": {"5": 1, "05": 1}}, "twice"),
    ("logit_bias", {"logit_bias": {str(token): 1 for token in range(301)}}, "300"),
    ("logit_bias.5", {"logit_bias": {"5": 101}}, "100"),
    ("repetition_penalty", {"repetition_penalty": 0}, "0.01"),
    ("response_format", {"response_format": "json"}, "object"),
    (
        "response_format.schema",
        {"response_format": {"type": "json_object", "schema": {}}},
        "schema",
    ),
    ("response_format.json_schema", {"response_format": {"type": "json_schema"}}, "object"),
    ("guided_choice", {"guided_choice": []}, "1 to 1024"),
    ("guided_json", {"guided_json": {"minProperties": 2}}, "minProperties"),
    ("guided_json", {"guided_json": {"type": "array", "uniqueItems": True}}, "uniqueItems"),
    ("guided_json", {"guided_json": DEEP}, "deep"),
    ("guided_json", {"guided_json": {"enum": ["x" * 70_000]}}, "65536"),
    ("guided_regex", {"guided_regex": "("}, "unclosed"),
    ("guided_whitespace_pattern", {"guided_whitespace_pattern": " "}, "not supported"),
    ("structured_outputs", {"structured_outputs": {"regex": "a", "choice": ["a"]}}, "exactly one"),
]


@pytest.mark.live
def test_what_cannot_be_enforced_never_reaches_the_cluster() -> None:
    async def main() -> None:
        async with world() as w:
            for param, fields, named in REFUSED:
                response = await w.chat(**fields)
                assert response.status_code == 400, (fields, response.text)
                error = response.json()["error"]
                assert error["param"] == param, error
                assert named in error["message"], error
                assert len(error["message"]) < 400
            assert w.router.requests == []
            assert (await w.chat(response_format=FORMAT)).status_code == 200
            (request,) = w.router.requests
            assert request.sampling.shaping is not None

    asyncio.run(main())

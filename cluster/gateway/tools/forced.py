"""A forced call as a constraint on the answer, so that any model makes one.

named      the answer is the function's arguments, under its schema
required   the answer is a list of {"name", "arguments"}, each under its function's schema
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.gateway.closed_schema import closed, schemas_in
from cluster.gateway.fields import shown
from cluster.gateway.json_schema import json_schema
from cluster.gateway.tools.calling import Calling
from workers.errors import InvalidRequest
from workers.model.sampling_params import SamplingParams
from workers.model.shaping import Constraint, Shaping

# Of a list that a model would go on with for ever.
CALLS_MAX = 8


def forced(params: SamplingParams, calling: Calling | None) -> SamplingParams:
    """The same, with answers that are calls where the request says so: those come before what it
    says of an answer's text, and no end of a text may cut one. Raises InvalidRequest for a schema
    that cannot be enforced.
    """
    if calling is None or not calling.is_forced:
        return params
    constraint = _named(calling) if calling.mode == "named" else _required(calling)
    constraint.validate()
    shaping = replace(params.shaping or Shaping(), constraint=constraint)
    return replace(params, shaping=shaping, stop=(), stop_token_ids=())


def _named(calling: Calling) -> Constraint:
    index = list(calling.schemas).index(calling.name)
    return json_schema(closed(calling.schemas[calling.name]), f"tools[{index}].function.parameters")


def _required(calling: Calling) -> Constraint:
    definitions, calls = {}, []
    known: set[str] = set()
    for index, (name, schema) in enumerate(calling.schemas.items()):
        place = f"tool_{index}"
        definitions[place] = closed(_without_own_id(schema), f"#/$defs/{place}")
        _check_ids(definitions[place], known, index)
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{place}"}},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    several = {
        "type": "array",
        "minItems": 1,
        "maxItems": CALLS_MAX if calling.parallel else 1,
        "items": {"anyOf": calls},
        "$defs": definitions,
    }
    return json_schema(several, "tools")


def _without_own_id(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A whole schema's id says nothing where all references are within it."""
    parts = list(schemas_in(schema))
    has_others = any("$id" in part for part in parts if part is not schema)
    goes_out = any(not str(part.get("$ref", "#")).startswith("#") for part in parts)
    if has_others or goes_out:
        return schema
    return {key: value for key, value in schema.items() if key != "$id"}


def _check_ids(schema: Mapping[str, Any], known: set[str], index: int) -> None:
    """Raises InvalidRequest where references to an id could mean another tool's schema."""
    ids = {str(one["$id"]) for one in schemas_in(schema) if "$id" in one}
    if twice := ids & known:
        name = f"tools[{index}].function.parameters"
        text = f"{name} has the $id {shown(min(twice))} of another tool's: each must have its own"
        raise InvalidRequest(text, param=name)
    known |= ids

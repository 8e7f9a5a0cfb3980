"""A forced call as a constraint on the answer, so that any model makes one.

named      the answer is the function's arguments, under its schema
required   the answer is a list of {"name", "arguments"}, each under its function's schema
"""

from dataclasses import replace

from cluster.gateway.closed_schema import closed
from cluster.gateway.json_schema import json_schema
from cluster.gateway.tools.calling import Calling
from workers.model.sampling_params import SamplingParams
from workers.model.shaping import Constraint, Shaping

# Of a list that a model would go on with for ever.
CALLS_MAX = 8


def forced(params: SamplingParams, calling: Calling | None) -> SamplingParams:
    """The same, with answers that are calls where the request says so: those come before what it
    says of an answer's text. Raises InvalidRequest for a schema that cannot be enforced.
    """
    if calling is None or not calling.is_forced:
        return params
    constraint = _named(calling) if calling.mode == "named" else _required(calling)
    constraint.validate()
    return replace(params, shaping=replace(params.shaping or Shaping(), constraint=constraint))


def _named(calling: Calling) -> Constraint:
    index = list(calling.schemas).index(calling.name)
    return json_schema(closed(calling.schemas[calling.name]), f"tools[{index}].function.parameters")


def _required(calling: Calling) -> Constraint:
    definitions, calls = {}, []
    for index, (name, schema) in enumerate(calling.schemas.items()):
        place = f"tool_{index}"
        definitions[place] = closed(schema, f"#/$defs/{place}")
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

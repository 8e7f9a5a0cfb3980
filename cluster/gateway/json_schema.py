"""JSON schemas as users send them: what a grammar cannot promise is refused, by keyword.

The grammar's library refuses what it does not know itself; here is what it would let pass.
"""

from typing import Any

import orjson

from cluster.gateway.closed_schema import DATA, NAMED, closed, schemas_in
from cluster.gateway.fields import shown
from workers.errors import InvalidRequest
from workers.model.shaping import Constraint

# Formats that the grammar enforces. JSON Schema's other ones, and pydantic's own ("path",
# "binary", "uuid4"), are notes to the reader: the standard has them ignored.
FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid uri".split())

# An integer without bounds gets these: 64 bits have no more, and a small model would write digits
# until it is cut. The library computes with float64, which has both exactly.
INTEGER_MIN, INTEGER_MAX = -9 * 10**18, 9 * 10**18
# Each bounded integer makes a grammar larger: a schema of more of them stays as it is.
INTEGERS_MAX = 64


def json_schema(schema: object, said_by: str) -> Constraint:
    """The constraint of a schema that came as JSON. Raises InvalidRequest naming the keyword."""
    if isinstance(schema, bool):
        schema = {} if schema else {"enum": []}
    if not isinstance(schema, dict):
        raise InvalidRequest(
            f"{said_by} is {shown(schema)}: it must be a JSON schema, an object", param=said_by
        )
    try:
        kept = closed(_enforceable(schema, said_by))
        _bound_integers(kept)
        text = orjson.dumps(kept).decode()
    except (TypeError, RecursionError) as error:  # orjson's own limit is 254
        text = f"{said_by} is nested too deeply: at most 100 levels are read"
        raise InvalidRequest(text, param=said_by) from error
    return Constraint("json_schema", text, said_by)


def _enforceable(schema: dict[str, Any], said_by: str) -> dict[str, Any]:
    """The same without formats that say nothing to a grammar."""
    _check_names_count(schema, said_by)
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "format" and isinstance(value, str) and value not in FORMATS:
            continue
        if key in NAMED and isinstance(value, dict):
            kept[key] = {name: _inside(each, said_by) for name, each in value.items()}
        elif key in DATA:
            kept[key] = value
        else:
            kept[key] = _inside(value, said_by)
    return kept


def _inside(value: Any, said_by: str) -> Any:
    if isinstance(value, dict):
        return _enforceable(value, said_by)
    if isinstance(value, list):
        return [_inside(each, said_by) for each in value]
    return value


def _bound_integers(schema: dict[str, Any]) -> None:
    """In place."""
    places = [one for one in schemas_in(schema) if _is_integer(one)]
    if len(places) > INTEGERS_MAX:
        return
    for place in places:
        if not {"minimum", "exclusiveMinimum"} & place.keys():
            place["minimum"] = INTEGER_MIN
        if not {"maximum", "exclusiveMaximum"} & place.keys():
            place["maximum"] = INTEGER_MAX


def _is_integer(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return "integer" in kinds and "number" not in kinds and not {"const", "enum"} & schema.keys()


def _check_names_count(schema: dict[str, Any], said_by: str) -> None:
    """A grammar does not remember which names of its own choice an object has had already: one
    that comes twice counts once for whoever reads it.
    """
    least, required = schema.get("minProperties"), schema.get("required")
    known = len(required) if isinstance(required, list) else 0
    if isinstance(least, int) and least > max(1, known):
        raise InvalidRequest(
            f"{said_by} has minProperties {least}, which cannot be enforced beyond the properties "
            "that are required: name them in required",
            param=said_by,
        )

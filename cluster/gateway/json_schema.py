"""JSON schemas as users send them: what a grammar cannot promise is refused, by keyword.

The grammar's library refuses what it does not know itself; here is what it would let pass.
"""

from typing import Any

import orjson

from cluster.gateway.fields import shown
from workers.errors import InvalidRequest
from workers.model.shaping import Constraint

# Formats that the grammar enforces. JSON Schema's other ones, and pydantic's own ("path",
# "binary", "uuid4"), are notes to the reader: the standard has them ignored.
FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid uri".split())
# Values below these are data, not schemas.
_DATA = frozenset(("const", "default", "enum", "example", "examples"))
# Below these each name has a schema of its own, whatever the name.
_NAMED = frozenset(("$defs", "definitions", "patternProperties", "properties"))


def json_schema(schema: object, said_by: str) -> Constraint:
    """The constraint of a schema that came as JSON. Raises InvalidRequest naming the keyword."""
    if isinstance(schema, bool):
        schema = {} if schema else {"enum": []}
    if not isinstance(schema, dict):
        raise InvalidRequest(
            f"{said_by} is {shown(schema)}: it must be a JSON schema, an object", param=said_by
        )
    try:
        text = orjson.dumps(_enforceable(schema, said_by)).decode()
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
        if key in _NAMED and isinstance(value, dict):
            kept[key] = {name: _inside(each, said_by) for name, each in value.items()}
        elif key in _DATA:
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

"""JSON schemas as users send them: what a grammar cannot promise is refused, by keyword.

The grammar's library refuses what it does not know itself; here is what it would let pass.
"""

from typing import Any

import orjson

from cluster.gateway.closed_schema import DATA, NAMED, closed, schemas_in
from cluster.gateway.fields import shown
from cluster.gateway.neutral_keywords import without_neutral
from cluster.gateway.one_of import as_any_of
from cluster.gateway.schema_numbers import is_number, with_numbers
from cluster.gateway.values import is_deeper
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
# Of JSON, where an object in another has two. The library reads 127, with those of our own.
DEPTH_MAX = 120
# Of one object, that may be left out: all may come next, and compiling 2,000 takes 0.4 s.
OPTIONAL_MAX = 2000


def json_schema(schema: object, said_by: str) -> Constraint:
    """The constraint of a schema that came as JSON. Raises InvalidRequest naming the keyword."""
    if isinstance(schema, bool):
        schema = {} if schema else {"enum": []}
    if not isinstance(schema, dict):
        found = "is missing" if schema is None else f"is {shown(schema)}"
        text = f"{said_by} {found}: it must be a JSON schema, an object"
        raise InvalidRequest(text, param=said_by)
    check_depth(schema, said_by)
    kept = closed(_enforceable(schema, said_by))
    as_any_of(kept)
    _bound_integers(kept, said_by)
    return Constraint("json_schema", orjson.dumps(kept).decode(), said_by)


def check_depth(schema: object, said_by: str) -> None:
    """Raises InvalidRequest."""
    if is_deeper(schema, DEPTH_MAX):
        raise InvalidRequest(
            f"{said_by} is nested too deeply: at most {DEPTH_MAX} levels are read, of which an "
            "object in another has two",
            param=said_by,
        )


def _enforceable(schema: dict[str, Any], said_by: str) -> dict[str, Any]:
    """The same without what says nothing to a grammar, and with numbers that it has."""
    schema = with_numbers(without_neutral(schema), said_by)
    _check_names_count(schema, said_by)
    _check_optional(schema, said_by)
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


def _bound_integers(schema: dict[str, Any], said_by: str) -> None:
    """In place. Raises InvalidRequest where all integers that it asks for are beyond 64 bits."""
    places = [one for one in schemas_in(schema) if _is_integer(one)]
    for place in places:
        low, high = place.get("minimum"), place.get("maximum")
        if is_number(low) and low > INTEGER_MAX:
            raise _beyond(said_by, "minimum", low)
        if is_number(high) and high < INTEGER_MIN:
            raise _beyond(said_by, "maximum", high)
        may_add = len(places) <= INTEGERS_MAX
        if is_number(low) or (may_add and not {"minimum", "exclusiveMinimum"} & place.keys()):
            place["minimum"] = max(INTEGER_MIN, low if is_number(low) else INTEGER_MIN)
        if is_number(high) or (may_add and not {"maximum", "exclusiveMaximum"} & place.keys()):
            place["maximum"] = min(INTEGER_MAX, high if is_number(high) else INTEGER_MAX)


def _beyond(said_by: str, keyword: str, bound: float) -> InvalidRequest:
    text = f"integers are enforced from {INTEGER_MIN} to {INTEGER_MAX}"
    return InvalidRequest(f"{said_by} has {keyword} {bound}: {text}", param=said_by)


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


def _check_optional(schema: dict[str, Any], said_by: str) -> None:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or len(properties) <= OPTIONAL_MAX:
        return
    names = required if isinstance(required, list) else []
    optional = len(properties) - sum(isinstance(n, str) and n in properties for n in names)
    if optional > OPTIONAL_MAX:
        raise InvalidRequest(
            f"{said_by} has an object with {optional} optional properties: at most {OPTIONAL_MAX} "
            "are enforced; name others in required",
            param=said_by,
        )

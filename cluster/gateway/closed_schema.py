"""Schemas that let through what they name, and nothing else where they do not say so.

Most schemas that people send name all that they want and leave the object open. A small model, and
any that was not told, would make names up until it is cut. What a closed schema lets through, the
open one does, too.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

# Below these each name has a schema of its own, whatever the name.
NAMED = frozenset(("$defs", "definitions", "patternProperties", "properties"))
# Values below these are data, not schemas.
DATA = frozenset(("const", "default", "enum", "example", "examples", "required"))
_OPEN = frozenset(("additionalProperties", "unevaluatedProperties", "patternProperties"))
# With these, several schemas hold for one object: each may know properties that others do not.
_TOGETHER = frozenset(("not", "if", "dependentSchemas", "unevaluatedProperties"))
_BRANCHES = frozenset(("$ref", "allOf", "anyOf", "oneOf"))


def closed(schema: Schema, place: str = "#") -> dict[str, Any]:
    """The same with the properties that the schema names, and no others where it does not say so.
    What it says of itself it still says where it stands at `place` of another.
    """
    return _rewritten(schema, place, not any(map(_is_together, schemas_in(schema))))


def _is_together(schema: Schema) -> bool:
    several = "properties" in schema and _BRANCHES & schema.keys()
    whole = schema.get("allOf")
    return bool(several or _TOGETHER & schema.keys() or (isinstance(whole, list) and whole[1:]))


def _rewritten(schema: Schema, place: str, closes: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key in NAMED and isinstance(value, Mapping):
            made[key] = {name: _inside(one, place, closes) for name, one in value.items()}
        elif key == "$ref" and isinstance(value, str) and value.startswith("#"):
            made[key] = place + value[1:]
        else:
            made[key] = value if key in DATA else _inside(value, place, closes)
    if closes and "properties" in schema and not _OPEN & schema.keys():
        made["additionalProperties"] = False
    return made


def _inside(value: Any, place: str, closes: bool) -> Any:
    if isinstance(value, Mapping):
        return _rewritten(value, place, closes)
    if isinstance(value, list):
        return [_inside(one, place, closes) for one in value]
    return value


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    """A schema, and those in it."""
    if isinstance(value, list):
        for one in value:
            yield from schemas_in(one)
    if not isinstance(value, dict):
        return
    yield value
    for key, one in value.items():
        if key in NAMED and isinstance(one, dict):
            for named in one.values():
                yield from schemas_in(named)
        elif key not in DATA:
            yield from schemas_in(one)

"""Functions' schemas as parts of a constraint."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

# Below these each name has a schema of its own, whatever the name.
_NAMED = frozenset(("$defs", "definitions", "patternProperties", "properties"))
# Values below these are data, not schemas.
_DATA = frozenset(("const", "default", "enum", "example", "examples", "required"))
_OPEN = frozenset(("additionalProperties", "unevaluatedProperties", "patternProperties"))
# With these, several schemas hold for one object: each may know properties that others do not.
_TOGETHER = frozenset(("not", "if", "dependentSchemas", "unevaluatedProperties"))
_BRANCHES = frozenset(("$ref", "allOf", "anyOf", "oneOf"))


def closed(schema: Schema, place: str = "#") -> dict[str, Any]:
    """The same for an argument that the schema names, and no others where it does not say so: a
    model that knows no tools would make names up until it is cut. What it says of itself it still
    says where it stands at `place` of another.
    """
    return _rewritten(schema, place, not any(map(_is_together, _schemas(schema))))


def _is_together(schema: Schema) -> bool:
    several = "properties" in schema and _BRANCHES & schema.keys()
    whole = schema.get("allOf")
    return bool(several or _TOGETHER & schema.keys() or (isinstance(whole, list) and whole[1:]))


def _rewritten(schema: Schema, place: str, closes: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, Mapping):
            made[key] = {name: _inside(one, place, closes) for name, one in value.items()}
        elif key == "$ref" and isinstance(value, str) and value.startswith("#"):
            made[key] = place + value[1:]
        else:
            made[key] = value if key in _DATA else _inside(value, place, closes)
    if closes and "properties" in schema and not _OPEN & schema.keys():
        made["additionalProperties"] = False
    return made


def _inside(value: Any, place: str, closes: bool) -> Any:
    if isinstance(value, Mapping):
        return _rewritten(value, place, closes)
    if isinstance(value, list):
        return [_inside(one, place, closes) for one in value]
    return value


def _schemas(value: Any) -> Iterator[Schema]:
    """A schema, and those in it."""
    if isinstance(value, list):
        for one in value:
            yield from _schemas(one)
    if not isinstance(value, Mapping):
        return
    yield value
    for key, one in value.items():
        if key in _NAMED and isinstance(one, Mapping):
            for named in one.values():
                yield from _schemas(named)
        elif key not in _DATA:
            yield from _schemas(one)

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
    What it says of itself it still says where it stands at `place` of another, which may have
    others that name their parts alike.
    """
    return _rewritten(schema, place, not any(map(_is_together, schemas_in(schema))))


def _is_together(schema: Schema) -> bool:
    several = {"properties", "required"} & schema.keys() and _BRANCHES & schema.keys()
    whole = schema.get("allOf")
    return bool(several or _TOGETHER & schema.keys() or (isinstance(whole, list) and whole[1:]))


def _rewritten(schema: Schema, place: str, closes: bool) -> dict[str, Any]:
    if isinstance(schema.get("$id"), str):
        place = "#"  # from here on references are to this schema, wherever it stands
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key in NAMED and isinstance(value, Mapping):
            made[key] = {name: _inside(one, place, closes) for name, one in value.items()}
        elif key == "$ref" and isinstance(value, str) and value.startswith("#"):
            made[key] = _moved(value, place)
        elif key == "$anchor" and isinstance(value, str):
            made[key] = _moved(f"#{value}", place)[1:]
        else:
            made[key] = value if key in DATA else _inside(value, place, closes)
    if closes and _names_all(schema) and not _OPEN & schema.keys():
        made["additionalProperties"] = False
    return made


def _moved(reference: str, place: str) -> str:
    """A pointer goes on from the place; the name of an anchor is made the place's own."""
    is_anchor = reference[1:2] not in ("", "/")
    if not is_anchor:
        return place + reference[1:]
    return reference if place == "#" else f"{reference}-{place.rpartition('/')[2]}"


def _names_all(schema: Schema) -> bool:
    """Whether there is nothing else that it must let through."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, Mapping):
        return False
    names = required if isinstance(required, list) else []
    return all(isinstance(name, str) and name in properties for name in names)


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

"""`oneOf` whose branches exclude each other, which then says what `anyOf` does.

The grammar's library tells branches apart by their types and by strings; here, by any constants.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.gateway.closed_schema import schemas_in

Schema = Mapping[str, Any]
_REFERENCES_MAX = 32  # one after the other


def as_any_of(root: dict[str, Any]) -> None:
    """In place, for a schema and those in it."""
    for schema in schemas_in(root):
        branches = schema.get("oneOf")
        if "anyOf" not in schema and isinstance(branches, list) and _exclude(branches, root):
            schema["anyOf"] = schema.pop("oneOf")


def _exclude(branches: Sequence[Any], root: Schema) -> bool:
    resolved = [_resolved(branch, root) for branch in branches]
    if not all(isinstance(one, dict) for one in resolved):
        return False
    if _are_apart([_values(one) for one in resolved]):
        return True
    if not all(one.get("type") == "object" for one in resolved):
        return False
    return any(
        _are_apart([_values_of(one, key, root) for one in resolved])
        for key in _required(resolved[0])
    )


def _are_apart(values: Sequence[list[Any] | None]) -> bool:
    """Whether each branch has its own values, and no other."""
    known: set[Any] = set()
    for ones in values:
        if ones is None or known & set(ones):
            return False
        known.update(ones)
    return True


def _values(schema: Any) -> list[Any] | None:
    """What alone fulfils a schema; None where that is not said, or no plain value. Kinds are kept
    apart: Python has true equal to 1, JSON has not.
    """
    if not isinstance(schema, dict):
        return None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or any(isinstance(one, dict | list) for one in values):
        return None
    return [(isinstance(one, bool), one) for one in values]


def _values_of(schema: Schema, key: str, root: Schema) -> list[Any] | None:
    """The same of an object's property."""
    properties = schema.get("properties")
    if key not in _required(schema) or not isinstance(properties, dict):
        return None
    return _values(_resolved(properties.get(key), root))


def _required(schema: Schema) -> list[str]:
    required = schema.get("required")
    return [key for key in required if isinstance(key, str)] if isinstance(required, list) else []


def _resolved(schema: Any, root: Schema) -> Any:
    """Where its reference leads to, if that is a pointer into `root`."""
    for _ in range(_REFERENCES_MAX):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        schema = root
        for step in reference[2:].split("/"):
            if not isinstance(schema, dict):
                return None
            schema = schema.get(step.replace("~1", "/").replace("~0", "~"))
    return None

"""Keywords that the grammar's library does not know, at values that ask for nothing."""

from typing import Any

# What every value fulfils, by keyword.
_ALWAYS: dict[str, tuple[Any, ...]] = {
    "uniqueItems": (False,),
    "propertyNames": (True, {}),
    "unevaluatedItems": (True, {}),
    "dependentRequired": ({},),
    "dependentSchemas": ({},),
    "dependencies": ({},),
    "not": (False,),
}


def without_neutral(schema: dict[str, Any]) -> dict[str, Any]:
    """The same, for one schema without those in it."""
    made = {key: value for key, value in schema.items() if not _is_neutral(key, value)}
    if "contains" not in made:  # they count what it finds
        made.pop("minContains", None)
        made.pop("maxContains", None)
    if "if" not in made or not made.keys() & {"then", "else"}:
        for key in ("if", "then", "else"):
            made.pop(key, None)
    if made.get("unevaluatedProperties") is True or made.get("unevaluatedProperties") == {}:
        # It lets through what the others do not name, as that one does.
        del made["unevaluatedProperties"]
        made.setdefault("additionalProperties", True)
    return made


def _is_neutral(key: str, value: Any) -> bool:
    neutral = _ALWAYS.get(key, ())
    # == alone would let 0 pass for false and 1 for true.
    return any(value == one and type(value) is type(one) for one in neutral)

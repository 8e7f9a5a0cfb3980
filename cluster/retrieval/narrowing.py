"""Which files a search looks at: a filter over their attributes, in OpenAI's form. Pure.

    {"type": "eq", "key": "year", "value": 2024}          also ne, gt, gte, lt, lte, in, nin
    {"type": "and", "filters": [...]}                      also or

A number is never equal to a text or a truth value, and has no order with one. A file without the
attribute is not equal to anything: it fits `ne` and `nin` alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

from configs.outside import shown

COMPARISONS_MAX, DEPTH_MAX, TEXT_MAX = 256, 8, 512

Narrowing = Mapping[str, Any]


def _same(one: object, other: object) -> bool:
    return _sort(one) == _sort(other) and one == other


def _sort(value: object) -> str:
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"


_EQUAL: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": _same,
    "ne": lambda held, wanted: not _same(held, wanted),
    "in": lambda held, wanted: any(_same(held, one) for one in wanted),
    "nin": lambda held, wanted: not any(_same(held, one) for one in wanted),
}
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": lambda held, wanted: held > wanted,
    "gte": lambda held, wanted: held >= wanted,
    "lt": lambda held, wanted: held < wanted,
    "lte": lambda held, wanted: held <= wanted,
}


def fits(narrowing: Narrowing, attributes: Mapping[str, Any]) -> bool:
    """Of a filter that `check_narrowing` let pass."""
    kind = narrowing["type"]
    if kind in ("and", "or"):
        each = (fits(inner, attributes) for inner in narrowing["filters"])
        return all(each) if kind == "and" else any(each)
    if narrowing["key"] not in attributes:
        return kind in ("ne", "nin")
    held, wanted = attributes[narrowing["key"]], narrowing["value"]
    if kind in _EQUAL:
        return _EQUAL[kind](held, wanted)
    return _sort(held) == _sort(wanted) and _ORDER[kind](held, wanted)


def check_narrowing(narrowing: object, where: str = "filters") -> int:
    """How many comparisons it makes. Raises ValueError for what is no such filter."""
    return _check(narrowing, where, DEPTH_MAX)


def _check(narrowing: object, where: str, depth: int) -> int:
    if not isinstance(narrowing, Mapping):
        raise ValueError(f"{where} {_found(narrowing)}: it must be a JSON object")
    kind = narrowing.get("type")
    if kind in ("and", "or"):
        return _check_compound(narrowing, where, depth)
    if not isinstance(kind, str) or kind not in (*_EQUAL, *_ORDER):
        known = ", ".join((*_EQUAL, *_ORDER, "and", "or"))
        raise ValueError(f"{where}.type {_found(kind)}: it must be one of {known}")
    _check_keys(narrowing, ("type", "key", "value"), where)
    if not isinstance(narrowing.get("key"), str):
        raise ValueError(f"{where}.key {_found(narrowing.get('key'))}: it must be a string")
    value = narrowing.get("value")
    are_many = kind in ("in", "nin")
    values = value if are_many and isinstance(value, list) else [value]
    if are_many != isinstance(value, list) or not all(map(_is_plain, values)):
        right = (
            "a list of strings, numbers and booleans" if are_many else "a string, number or boolean"
        )
        raise ValueError(f"{where}.value {_found(value)}: it must be {right}")
    return max(1, len(values))


def _check_compound(narrowing: Narrowing, where: str, depth: int) -> int:
    _check_keys(narrowing, ("type", "filters"), where)
    inner = narrowing.get("filters")
    if not isinstance(inner, list) or not inner:
        raise ValueError(f"{where}.filters {_found(inner)}: it must be a list of filters")
    if not depth:
        raise ValueError(f"{where}: filters are nested deeper than {DEPTH_MAX}")
    count = 0
    for index, each in enumerate(inner):
        count += _check(each, f"{where}.filters[{index}]", depth - 1)
        if count > COMPARISONS_MAX:
            raise ValueError(f"{where} makes more than {COMPARISONS_MAX} comparisons")
    return count


def _check_keys(narrowing: Narrowing, known: tuple[str, ...], where: str) -> None:
    for key in narrowing:
        if key not in known:
            name = key[:80] or "''"
            raise ValueError(f"{where}.{name} is not supported: remove it")


def _found(value: object) -> str:
    """As JSON has it, where null means absent."""
    if isinstance(value, bool):
        return f"is {str(value).lower()}"
    return "is missing" if value is None else f"is {shown(value)}"


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)

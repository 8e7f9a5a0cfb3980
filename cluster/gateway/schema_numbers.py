"""Numbers of schemas: the grammar's library has them as float64, and reads long ones a little off.

What it would change in a constant is refused; a bound moves inwards, to the next number that it
has, so that whatever the grammar lets through is within the user's own bounds.
"""

import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, TypeGuard

from workers.errors import InvalidRequest

# Up to here float64 has every integer.
EXACT_MAX = 1 << 53
# Decimals of so many digits, and so many of them behind the point, are read by one rounding.
DIGITS_MAX, PLACES_MAX = 15, 22
# What the library counts in integers of 64 bits, and wants written as such.
_COUNTS = tuple(
    f"{least}{what}"
    for least in ("min", "max")
    for what in ("Length", "Items", "Properties", "Contains")
)
_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_RIGHT = (
    f"a grammar has integers up to {EXACT_MAX}, decimals of {DIGITS_MAX} digits, and only some of "
    "the others: a string can hold it"
)


def with_numbers(schema: dict[str, Any], said_by: str) -> dict[str, Any]:
    """The same with bounds that the grammar has exactly, for one schema without those in it. Raises
    InvalidRequest naming a keyword, and a number that cannot be enforced.
    """
    for keyword in ("const", "enum", "multipleOf"):
        for number in _numbers(schema.get(keyword)):
            if not _survives(number):
                text = f"{said_by} has {keyword} {number}, which cannot be enforced: {_RIGHT}"
                raise InvalidRequest(text, param=said_by)
    made = dict(schema)
    for keyword in _COUNTS:
        value = made.get(keyword)
        if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_MAX:
            made[keyword] = int(value)
    _bound(made, "minimum", "exclusiveMinimum", True)
    _bound(made, "maximum", "exclusiveMaximum", False)
    _check_room(schema, made, said_by)
    return made


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: Any) -> Iterator[int | float]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif is_number(one):
            yield one


def _survives(number: int | float) -> bool:
    """Whether the library reads it as it is, and writes it so."""
    if isinstance(number, int):
        near = float(number)
        is_counted = -(1 << 63) <= number < 1 << 63  # written digit by digit, the rest rounded
        return int(near) == number and (is_counted or Decimal(repr(near)) == number)
    _, digits, exponent = Decimal(repr(number)).as_tuple()
    assert isinstance(exponent, int)
    return len(digits) <= DIGITS_MAX and abs(exponent) <= PLACES_MAX


def _bound(schema: dict[str, Any], keyword: str, exclusive: str, is_least: bool) -> None:
    """In place."""
    edge = schema.get(exclusive)
    if is_number(edge) and float(edge).is_integer() and abs(edge) >= EXACT_MAX:
        # The library would add one to a float64, which is the same number again.
        del schema[exclusive]
        bounds = [_inward(int(edge) + (1 if is_least else -1), is_least)]
        if is_number(own := schema.get(keyword)):
            bounds.append(_inward(own, is_least))
        schema[keyword] = max(bounds) if is_least else min(bounds)
        return
    for each in (keyword, exclusive):
        if is_number(schema.get(each)):
            schema[each] = _inward(schema[each], is_least)


def _inward(number: int | float, is_least: bool) -> int | float:
    """The next number that the library has, not beyond this one."""
    if float(number).is_integer():
        whole = int(number)
        near = float(whole)
        if (near < whole) if is_least else (near > whole):
            near = math.nextafter(near, math.inf if is_least else -math.inf)
        # JSON's writer has 64 bits; larger ones are floats anyway.
        return int(near) if -(1 << 63) <= near < 1 << 64 else near
    if _survives(number):
        return number
    exact = Decimal(repr(number))
    places = min(PLACES_MAX, DIGITS_MAX - 1 - exact.adjusted())
    rounding = ROUND_CEILING if is_least else ROUND_FLOOR
    return float(exact.quantize(Decimal(1).scaleb(-places), rounding))


def _check_room(asked: dict[str, Any], made: dict[str, Any], said_by: str) -> None:
    """Raises InvalidRequest where bounds that left room leave none once they have moved."""
    low, high = made.get("minimum"), made.get("maximum")
    if not (is_number(low) and is_number(high) and low > high):
        return
    bounds = {key: asked[key] for key in _BOUNDS if is_number(asked.get(key))}
    told = ", ".join(f"{key} {value}" for key, value in bounds.items())
    text = f"{said_by} has {told}: no number between them can be enforced; {_RIGHT}"
    raise InvalidRequest(text, param=said_by)

"""Figures as people's files write them: 12, 12.0, "12"; exact, and refused with key and value."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import NoReturn

from cluster.workload.traces.errors import TraceError
from configs.outside import DIGITS_MAX, INTEGER_MAX, Unreadable, exact, shown
from configs.schema.trace import TOKENS_MAX

MS, S = 1_000_000, 1_000_000_000  # nanoseconds

_EPOCH = datetime(1970, 1, 1)
_CLOCK = datetime(2262, 1, 1) - _EPOCH  # what 64 bits of nanoseconds hold

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\s*(Z|[+-]\d\d(?::?\d\d)?)?"
)


def wrong(where: str, key: str, value: object, right: str) -> NoReturn:
    raise TraceError(f"{where}: {key} is {shown(value)}: it must be {right}")


class Row:
    """One row's keys and values, and where it stands. Null and empty text count as not given."""

    __slots__ = ("values", "where")

    def __init__(self, where: str, values: Mapping[str, object]) -> None:
        self.where, self.values = where, values

    def get(self, key: str) -> object:
        value = self.values.get(key)
        return None if isinstance(value, str) and not value.strip() else value

    def length(self, key: str) -> int:
        """A number of tokens, 0 included."""
        return self.integer(key, 0, TOKENS_MAX)

    def length_or_none(self, key: str) -> int | None:
        return None if self.get(key) is None else self.length(key)

    def integer(self, key: str, least: int, most: int) -> int:
        value = self.get(key)
        if type(value) is int and least <= value <= most:
            return value
        number = _number(value)
        if number is None or number.denominator != 1 or not least <= number <= most:
            wrong(self.where, key, self.values.get(key), f"a whole number from {least} to {most}")
        return int(number)

    def time_ns(self, key: str, unit_ns: int) -> int | None:
        """A time of at least 0 in units of `unit_ns`, to the nearest nanosecond; None if absent."""
        value = self.get(key)
        if value is None:
            return None
        most = INTEGER_MAX // unit_ns
        number = _number(value)
        if number is None or not 0 <= number <= most:
            unit = {1: "nanoseconds", MS: "milliseconds", S: "seconds"}[unit_ns]
            wrong(self.where, key, value, f"a number from 0 to {most}, in {unit}")
        return round(number * unit_ns)

    def moment_ns(self, key: str) -> int:
        """Nanoseconds since 1970 of "2023-11-16 18:17:03.9799600", exact to the last decimal; of
        one with a time zone, in UTC.
        """
        text = self.values.get(key)
        match = _MOMENT.fullmatch(text.strip()) if isinstance(text, str) else None
        try:
            if match is None:
                raise ValueError
            since = datetime.fromisoformat(f"{match[1]} {match[2]}") - _EPOCH - _offset(match[4])
            if not timedelta(0) <= since < _CLOCK:
                raise ValueError
        except ValueError:
            right = "YYYY-MM-DD HH:MM:SS with at most nine decimals, then perhaps +HH:MM or Z"
            wrong(self.where, key, text, f"{right}, from 1970 to 2261")
        return (since.days * 86_400 + since.seconds) * S + int((match[3] or "0").ljust(9, "0"))

    def text_or_none(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            wrong(self.where, key, value, "a text")
        return value

    def name(self, key: str) -> str:
        """A session's; numbers are taken as text."""
        value = self.values.get(key)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            wrong(self.where, key, value, "a text or a whole number")
        return str(value)

    def objects(self, key: str) -> list[dict[str, object]]:
        value = self.values.get(key)
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            wrong(self.where, key, value, "a list of JSON objects")
        return value

    def integers(self, key: str, most: int) -> list[int]:
        """A list of whole numbers of at least 0; empty if absent."""
        value = self.values.get(key)
        if value is None:
            return []
        if isinstance(value, list) and all(type(one) is int and 0 <= one <= most for one in value):
            return value
        numbers = [_number(one) for one in value] if isinstance(value, list) else [None]
        if any(n is None or n.denominator != 1 or not 0 <= n <= most for n in numbers):
            wrong(self.where, key, value, f"a list of whole numbers from 0 to {most}")
        return [int(number) for number in numbers if number is not None]


def _number(value: object) -> Fraction | None:
    """What a file means by 12, 12.5, "12" or " 12.0 "; None for everything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Fraction(value) if value == value and abs(value) != float("inf") else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.isdecimal() and len(text) <= DIGITS_MAX:
        return Fraction(int(text))
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return exact(text)
    except Unreadable:
        return None


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta(0)
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(zone)
    return timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)

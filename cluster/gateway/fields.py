"""Typed reading of a JSON object, where nothing is silently ignored.

Each read takes the field out; `refuse_rest` then answers for whatever is left. JSON null means
absent, as in OpenAI's API. Every method raises InvalidRequest naming the field, its value and what
would be right.
"""

from collections.abc import Mapping
from typing import Any

from configs import outside
from workers.errors import InvalidRequest

INT32_MAX = (1 << 31) - 1
NAME_LENGTH_MAX = 80  # of what errors show of a name
INTEGER_BITS_SHOWN = 128  # longer ones are told by their length


class Fields:
    def __init__(self, body: object, where: str = "") -> None:
        if not isinstance(body, Mapping):
            name = where or "the request body"
            # A field that is null is absent; an entry of a list is there.
            is_missing = body is None and where and not where.endswith("]")
            found = "is missing" if is_missing else f"is {shown(body)}"
            raise InvalidRequest(f"{name} {found}: it must be a JSON object", param=where or None)
        self._where = f"{where}." if where else ""
        self._given = body
        self._left: dict[str, Any] = {k: v for k, v in body.items() if v is not None}

    def name(self, key: str) -> str:
        return self._where + (key[:NAME_LENGTH_MAX] or "''")

    def has_had(self, key: str) -> bool:
        """Whether the body has it, taken out or not."""
        return self.given(key) is not None

    def given(self, key: str) -> Any:
        """The raw value, taken out or not, or None."""
        return self._given.get(key)

    def is_null(self, key: str) -> bool:
        """Whether the body has it and says null: where that is more than leaving it out."""
        return key in self._given and self._given[key] is None

    def take(self, key: str) -> Any:
        """The raw value, or None."""
        return self._left.pop(key, None)

    def put(self, key: str, value: Any) -> None:
        """What is left of a field for others to read."""
        if value is not None:
            self._left[key] = value

    def rest(self) -> dict[str, Any]:
        """What nobody has taken."""
        return dict(self._left)

    def integer(
        self, key: str, default: int | None, low: int = 0, high: int = INT32_MAX
    ) -> int | None:
        value = self.take(key)
        if value is None:
            return default
        whole = whole_number(value)
        if whole is None or not low <= whole <= high:
            raise self.wrong(key, value, f"an integer between {low} and {high}")
        return whole

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self.take(key)
        if value is None:
            return default
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.wrong(key, value, f"a number between {low:g} and {high:g}")
        return float(value)

    def boolean(self, key: str, default: bool = False) -> bool:
        value = self.take(key)
        if value is None:
            return default
        if type(value) is not bool:
            raise self.wrong(key, value, "true or false")
        return value

    def string(self, key: str, default: str | None = None) -> str:
        """`default` None means that the field is required."""
        value = self.take(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.wrong(key, value, "a string")
        return value

    def refuse_rest(self, ignored: frozenset[str], neutral: Mapping[str, tuple[Any, ...]]) -> None:
        """Refuse what is left: not in `ignored`, and not one of its neutral values.

        `ignored` fields cannot change the output. `neutral` fields would, were they not at one of
        the values that mean "as if absent".
        """
        for key, value in self._left.items():
            if key in ignored:
                continue
            if key not in neutral:
                raise InvalidRequest(
                    f"{self.name(key)} is not supported: remove it", param=self.name(key)
                )
            # == alone would let true pass for 1 and false for 0.
            if not any(
                value == right and isinstance(value, bool) == isinstance(right, bool)
                for right in neutral[key]
            ):
                allowed = " or ".join(shown(right) for right in neutral[key])
                raise InvalidRequest(
                    f"{self.name(key)} is {shown(value)}, which is not supported: leave it out"
                    + (f" or set it to {allowed}" if allowed else ""),
                    param=self.name(key),
                )

    def wrong(self, key: str, value: object, right: str) -> InvalidRequest:
        name = self.name(key)
        if value is None:
            return InvalidRequest(f"{name} is missing: it must be {right}", param=name)
        return InvalidRequest(f"{name} is {shown(value)}: it must be {right}", param=name)


def whole_number(value: object) -> int | None:
    """JSON has one kind of numbers: 8.0 is an integer, as pydantic and the standard have it. None
    for all else; bool is an int in Python, but `"n": true` is a mistake.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def shown(value: object) -> str:
    """A value as JSON-minded people would write it, short enough for an error message, and however
    deep it is nested.
    """
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is int and value.bit_length() <= INTEGER_BITS_SHOWN:
        return str(value)
    text = "null" if value is None else outside.shown(value)
    return text if len(text) <= 80 else text[:77] + "..."

"""How long what a call makes can become, for those that may make more than the sum of what they
take; asked before they do.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jinja2

# A width, or one that an argument gives.
_WIDTH = re.compile(r"\d{5,}|\*")
_WIDTH_FROM_ARGUMENT = re.compile(r"\{[^{}]*\{")
# One number written out: of 4,096 bits, or the longest float.
NUMBER_CHARS = 1300

Weigh = Callable[[object], int]


class TooMuch(jinja2.TemplateRuntimeError):
    """A template asks for more than its render may take."""


def longest(name: str, operands: Sequence[Any], weigh: Weigh) -> int:
    """At most so many characters or items; 0 of calls that make no more than they take.

    operands   whose method it is first, or a filter's value; then the arguments
    """
    taken = [o for o in operands if isinstance(o, (str, list, tuple, dict, range))]
    numbers = [abs(o) for o in operands if isinstance(o, int)]
    if not taken:
        return 0
    first, rest = taken[0], taken[1:]
    most = max(numbers, default=0)
    match name:
        case "center" | "ljust" | "rjust" | "zfill":
            return len(first) + most
        case "expandtabs":
            return weigh(first) + _count(first, "\t") * max(most, 8)
        case "indent":
            return weigh(first) + (_count(first, "\n") + 1) * max(most, 4, *map(weigh, rest))
        case "replace":
            found = _count(first, rest[0]) if rest else 0
            return weigh(first) + found * max(map(weigh, rest), default=0)
        case "join":
            return sum(weigh(first) * max(len(r), 1) + weigh(r) for r in rest)
        case "translate":
            return weigh(first) * max(1, *map(weigh, rest))
        case "format" | "format_map":
            return formatted(str(first), operands[1:], weigh)
    return 0


def formatted(text: str, values: Sequence[Any], weigh: Weigh) -> int:
    """Of `text.format(*values)` and `text % values`. Raises TooMuch where it names a width."""
    if _WIDTH.search(text):
        raise TooMuch(f"it formats to a width: {text[:40]!r}")
    each = max(NUMBER_CHARS, *map(weigh, values))
    if _WIDTH_FROM_ARGUMENT.search(text):
        each = max(each, *(abs(value) for value in values if isinstance(value, int)), 0)
    return len(text) + (text.count("{") + text.count("%")) * each


def _count(text: Any, part: Any) -> int:
    return str(text).count(str(part))

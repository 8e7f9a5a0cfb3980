"""What a chat template may say beside Jinja's own, as `transformers` gives it to them.

{{ x | tojson }}           JSON as it is: nothing escaped for HTML, no ASCII
{{ raise_exception(m) }}   refuses the conversation
{{ strftime_now(format) }} today
{% generation %}           marks what the model said, for those who train it; here it says nothing
"""

import json
from collections.abc import Callable
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser

from cluster.text.budget import BUDGET
from cluster.text.dates import Clock
from cluster.text.growth import TooMuch

INDENT_MAX = 16
FORMAT_CHARS_MAX = 1024
# Python gives up on a date of more than so many characters for each of its format.
DATE_GROWTH = 256


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """In the order of the arguments of `transformers`, which Jinja's own has not."""
    if isinstance(indent, int) and not 0 <= indent <= INDENT_MAX:
        raise TooMuch(f"tojson's indent is {indent}; it must be from 0 to {INDENT_MAX}")
    if isinstance(indent, str) and len(indent) > INDENT_MAX:
        raise TooMuch(
            f"tojson's indent has {len(indent)} characters, at most {INDENT_MAX} are read"
        )
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    if indent is None and separators is None:
        return encoder.encode(value)  # as long as the value, which has been counted
    budget, pieces = BUDGET.get(), []
    for piece in encoder.iterencode(value):
        budget.make(len(piece))
        pieces.append(piece)
    return "".join(pieces)


def refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def strftime(now: Clock) -> Callable[[str], str]:
    """`strftime_now`, by that clock."""

    def strftime_now(format: str) -> str:  # noqa: A002 - templates may name it
        if len(format) > FORMAT_CHARS_MAX:
            raise TooMuch(f"strftime_now's format has {len(format)} characters")
        BUDGET.get().make(DATE_GROWTH * len(format))
        return now().strftime(format)

    return strftime_now


class Generation(jinja2.ext.Extension):
    """A block of its own, as there: what is set in it is not known after it."""

    tags = {"generation"}  # noqa: RUF012 - Jinja reads it so

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_said"), [], [], body, lineno=line)

    def _said(self, caller: Callable[[], str]) -> str:
        return caller()

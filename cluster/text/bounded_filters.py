"""Jinja's filters that make more than they take, each counted before or while it does."""

from collections.abc import Iterator
from typing import Any

import jinja2
import jinja2.filters

from cluster.text.budget import BUDGET, check_operands, made

# No chat template needs these, and each makes much of little, or something else every time.
LEFT_OUT = frozenset("wordwrap urlize xmlattr pprint random".split())

# Those look at one item at most, however many there are: Qwen3's template asks for the number of
# messages with each of them.
AT_ONCE = frozenset(("length", "count", "first", "last"))


@jinja2.pass_environment
def join(environment: Any, value: Any, d: str = "", attribute: Any = None) -> str:
    """Item by item."""
    budget, pieces = BUDGET.get(), []
    for item in _attributes(environment, value, attribute):
        text = str(item)
        budget.spend()
        budget.make(len(text) + len(d))
        pieces.append(text)
    return str(d).join(pieces)


@jinja2.pass_environment
def total(environment: Any, iterable: Any, attribute: Any = None, start: Any = 0) -> Any:
    """`sum`: each addition is an operator's. Jinja's own would change the list it starts from."""
    for item in _attributes(environment, iterable, attribute):
        check_operands("+", start, item)
        start = made(start + item)
    return start


def batch(value: Any, linecount: Any, fill_with: Any = None) -> Iterator[list[Any]]:
    if isinstance(linecount, int) and fill_with is not None:
        BUDGET.get().make(linecount)
    return jinja2.filters.do_batch(value, linecount, fill_with)


def slices(value: Any, slices: Any, fill_with: Any = None) -> Iterator[list[Any]]:
    if isinstance(slices, int):
        BUDGET.get().spend(max(slices, 0))
    return jinja2.filters.sync_do_slice(value, slices, fill_with)


def center(value: str, width: Any = 80) -> str:
    if isinstance(width, int):
        BUDGET.get().make(width)
    return str(made(jinja2.filters.do_center(value, width)))


def printf(value: str, *args: Any, **kwargs: Any) -> str:
    """`format`, which is the operator %."""
    check_operands("%", str(value), kwargs or args)
    return str(made(jinja2.filters.do_format(value, *args, **kwargs)))


def _attributes(environment: Any, value: Any, attribute: Any) -> Any:
    if attribute is None:
        return value
    return map(jinja2.filters.make_attrgetter(environment, attribute), value)


# Jinja's of the same names are these.
COUNTED = {
    "join": join,
    "sum": total,
    "batch": batch,
    "slice": slices,
    "center": center,
    "format": printf,
}

"""Chat templates of others: Jinja in a sandbox that also ends.

Jinja's sandbox keeps a template from what it may not touch, not from what never ends: three nested
loops over `range(99999)` take a day, `'x' * 10**10` takes all memory. So each render has a budget:

    steps    iterations, operators, calls and filters, and the items of lists that they take
    length   of each text, list or number that comes into being, and of all of them together
    seconds  of processor time, looked at with each step

Operators and calls are shown to the sandbox before they happen; loops, `a ~ b`, slices and text
blocks are compiled to code that asks the budget. Filters that no chat template needs, and that make
much of little, are left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
import jinja2.exceptions
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox
import jinja2.utils

from cluster.text.bounded_filters import AT_ONCE, COUNTED, LEFT_OUT
from cluster.text.budget import (
    BUDGET,
    STEPS_MAX,
    Budget,
    check_call,
    check_operands,
    made,
)
from cluster.text.growth import TooMuch

_TICK, _JOIN, _SLICE, _WEIGH = (
    "ticking ",
    "joining ",
    "slicing ",
    "weighing ",
)  # no template can spell the space


def render(template: jinja2.Template, names: Mapping[str, Any]) -> str:
    """The text. Raises TooMuch, and whatever the template does."""
    token = BUDGET.set(Budget())
    try:
        return template.render(names)
    finally:
        BUDGET.reset(token)


class BoundedEnvironment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """The sandbox of Hugging Face templates, with a budget for each render."""

    intercepted_binops = frozenset(("*", "**", "+", "%", "//", "-", "/"))

    def __init__(
        self,
        filters: Mapping[str, Callable[..., Any]],
        extensions: Sequence[type[jinja2.ext.Extension]] = (),
    ) -> None:
        used = [jinja2.ext.loopcontrols, *extensions]
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=used)
        self.concat = _concat  # type: ignore[method-assign]
        kept = {n: f for n, f in self.filters.items() if n not in LEFT_OUT} | dict(filters)
        self.filters = {name: _bounded(name, run) for name, run in kept.items()}
        self.filters |= COUNTED
        self.filters |= {_TICK: _ticking, _JOIN: _joined, _SLICE: _sliced, _WEIGH: made}
        self.globals = {"dict": _Dict(), "namespace": _Namespace, "range": _range}
        self.globals |= {"cycler": jinja2.utils.Cycler, "joiner": jinja2.utils.Joiner}

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(jinja2.nodes.For)):
            loop.iter = _filter(_TICK, loop.iter)
        for node in list(tree.find_all(jinja2.nodes.Node)):
            for key, value in list(node.iter_fields()):
                setattr(node, key, _asking(value))
        return tree

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        check_operands(operator, left, right)
        return made(super().call_binop(context, operator, left, right))

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None) or getattr(obj, "format_string", None)
        name = getattr(obj, "__name__", "")
        if name == "join":  # how many there are, before something is put between them
            args = tuple(arg if hasattr(arg, "__len__") else _listed(arg) for arg in args)
        check_call(name, (owner, *args, *kwargs.values()))
        return made(super().call(context, obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Its text is looked at when it is called."""
        found = super().wrap_str_format(value)
        if found is not None:
            found.format_string = value.__self__  # type: ignore[attr-defined]
        return found


def _filter(name: str, first: Any, *rest: Any) -> jinja2.nodes.Filter:
    return jinja2.nodes.Filter(first, name, list(rest), [], None, None, lineno=first.lineno)


def _asking(value: Any) -> Any:
    """`a ~ b`, `a[b:c]` and `[a, b]` as filters, wherever they stand in a field of a node."""
    if isinstance(value, list):
        return [_asking(item) for item in value]
    if isinstance(value, jinja2.nodes.Concat):
        return _filter(_JOIN, *map(_asking, value.nodes))
    if isinstance(value, jinja2.nodes.Getitem) and isinstance(value.arg, jinja2.nodes.Slice):
        ends = (value.arg.start, value.arg.stop, value.arg.step)
        given = (end or jinja2.nodes.Const(None, lineno=value.lineno) for end in ends)
        return _filter(_SLICE, _asking(value.node), *map(_asking, given))
    is_made = isinstance(value, (jinja2.nodes.List, jinja2.nodes.Dict)) or (
        isinstance(value, jinja2.nodes.Tuple) and value.ctx == "load"
    )
    return _filter(_WEIGH, value) if is_made else value


class _Namespace(jinja2.utils.Namespace):
    """Jinja's shows all that it holds, itself too; and keeps what Python keeps for itself."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `namespace(self=1)` is one
        self, *given = args
        names = dict(*given, **kwargs)
        for name in names:
            _check_name(name)
        jinja2.utils.Namespace.__init__(self, names)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<namespace>"


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace keeps no {name!r}: it begins with _")


class _Dict:
    """Python's own has methods that change whatever they are given."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, keys: Any, value: Any = None) -> dict[Any, Any]:
        return dict.fromkeys(keys, value)


class _Ticking(Sequence[Any]):
    """A loop's items: each costs a step."""

    def __init__(self, items: Any) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Any]:
        budget = BUDGET.get()
        for item in self._items:
            budget.spend()
            yield item


def _ticking(items: Any) -> Any:
    ticking = _Ticking(items)
    return ticking if hasattr(items, "__len__") else iter(ticking)


def _listed(items: Any) -> list[Any]:
    return list(iter(_Ticking(items)))


def _joined(*parts: Any) -> str:
    return _concat([str(part) for part in parts])


def _sliced(value: Any, start: Any, stop: Any, step: Any) -> Any:
    BUDGET.get().spend()
    return made(value[start:stop:step])


def _concat(parts: Any) -> str:
    """Of a block, of a macro, of all: what comes from a generator is counted as it comes."""
    budget, pieces = BUDGET.get(), []
    for part in parts:
        budget.make(len(part))
        pieces.append(part)
    return "".join(pieces)


def _range(*bounds: int) -> range:
    """Whoever goes through it pays: gemma's template has one to the last message, with each of
    them, and leaves it soon.
    """
    found = range(*bounds)
    if len(found) > STEPS_MAX:
        raise TooMuch(f"a range has {len(found)} numbers: at most {STEPS_MAX}")
    BUDGET.get().spend()
    return found


def _bounded(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pays for what it takes and makes, with the marks of what it is given."""

    def filtered(*args: Any, **kwargs: Any) -> Any:
        if name in AT_ONCE:
            BUDGET.get().spend()
            return run(*args, **kwargs)
        check_call(name, (*args, *kwargs.values()))
        return made(run(*args, **kwargs))

    filtered.__dict__.update(getattr(run, "__dict__", {}))  # builtins have none
    return filtered

"""Events and state as bytes: the type's name, a space, and its fields as JSON.

Encoding follows the values, decoding the annotations of the dataclasses, so a new event or field
needs nothing here. Named tuples are lists, bytes are base64. Of a union of dataclasses each has a
field `kind`. Mappings are plain dicts by str: orjson forgets the order of an OrderedDict that was
moved about.
"""

import types
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson

from cluster.router.machine.events import EVENTS, Event
from cluster.router.machine.state import RouterState

Decode = Callable[[Any], Any]

_TYPES: Mapping[bytes, type[Event | RouterState]] = {
    kind.__name__.encode(): kind for kind in (*EVENTS, RouterState)
}


def encode(value: Event | RouterState) -> bytes:
    """Raises TypeError for what JSON cannot hold."""
    fields = orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    return type(value).__name__.encode() + b" " + fields


def decode(data: bytes) -> Event | RouterState:
    """The reverse. Raises ValueError, KeyError or TypeError for what `encode` did not write."""
    name, _, fields = data.partition(b" ")
    kind: Any = _TYPES[name]
    value: Event | RouterState = _decoder(kind)(orjson.loads(fields))
    return value


def _plain(value: object) -> str | list[Any]:
    if isinstance(value, tuple):  # a named one; orjson knows the plain
        return list(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(f"a {type(value).__name__} has no place in a journal")


@cache
def _decoder(hint: Any) -> Decode:
    """What turns JSON into a value of this annotation."""
    if is_dataclass(hint):
        return _fields_decoder(hint)
    if isinstance(hint, type) and issubclass(hint, tuple):
        return _row_decoder(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union_decoder(arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        decoders = [_decoder(argument) for argument in arguments]
        return lambda row: tuple(d(value) for d, value in zip(decoders, row, strict=True))
    if origin in (tuple, list):
        each, collect = _decoder(arguments[0]), origin
        return lambda values: collect(each(value) for value in values)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        of_value = _decoder(arguments[1])
        return lambda items: {key: of_value(value) for key, value in items.items()}
    if hint is bytes:
        return b64decode
    return _float if hint is float else _as_it_is


def _fields_decoder(kind: Any) -> Decode:
    decoders = {name: _decoder(hint) for name, hint in get_type_hints(kind).items()}
    return lambda fields: kind(**{n: decoders[n](value) for n, value in fields.items()})


def _row_decoder(kind: Any) -> Decode:
    """Of a NamedTuple."""
    decoders = [_decoder(hint) for hint in get_type_hints(kind).values()]
    return lambda row: kind(*(d(value) for d, value in zip(decoders, row, strict=True)))


def _union_decoder(arguments: tuple[Any, ...]) -> Decode:
    """`X | None`, or dataclasses that a field `kind` tells apart."""
    some = [argument for argument in arguments if argument is not type(None)]
    if len(some) == 1:
        only = _decoder(some[0])
        return lambda value: None if value is None else only(value)
    by_kind = {get_args(get_type_hints(kind)["kind"])[0]: _decoder(kind) for kind in some}
    return lambda fields: by_kind[fields["kind"]](fields)


def _float(value: float | None) -> float:
    """JSON has no infinity: of all our floats only a log-probability may be one, below zero."""
    return float("-inf") if value is None else float(value)


def _as_it_is(value: Any) -> Any:
    return value

"""What a field of a message is: where it travels in a frame, and what it costs a link.

Charged is what the emulated system would send. Rows travel as they are charged; a sum of exact mode
travels here in float64, because only then all shardings agree to the bit, and costs fp32.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from numpy.typing import NDArray

from workers.hardware.energy.phase import from_json, to_json

Array = NDArray[Any]


class WirePrecision(Protocol):
    """How wide hidden rows travel; see `workers.model.numerics.Numerics`."""

    @property
    def free_metadata(self) -> bool:
        """Whether tensors are all that a link is charged for: no envelope, body or column."""
        ...

    def row_bytes(self, width: int) -> int:
        """One hidden row of `width` entries, as it travels to an expert."""
        ...

    def sum_bytes(self, width: int) -> int:
        """One partial sum of `width` numbers on its way back."""
        ...

    def kv_bytes(self, blocks: Array) -> int:
        """Keys and values, of all layers or of one."""
        ...

    def of_kv(self, numbers: str | None) -> "WirePrecision":
        """The same where keys and values are in other numbers than the cluster's."""
        ...

    def query_bytes(self, heads: Array) -> int:
        """Queries, or what they found: [T, N, D], or one number a head, [T, N]."""
        ...


Charge = Callable[[Any, WirePrecision], int]
Convert = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Role:
    """Where a field travels, and what it costs.

    place      "body" (JSON), "column" (one entry a token) or "tensor"; "columns" and "tensors" hold
               any number of arrays by name
    charge     (value, precision) -> bytes
    to_json, from_json   of a body field
    is_price   what it says is what others of the kind's fields cost, which are free themselves: it
               counts where metadata is free, as tensors do
    """

    place: str
    charge: Charge
    to_json: Convert = _same
    from_json: Convert = _same
    is_price: bool = False

    @property
    def is_payload(self) -> bool:
        """What is charged where metadata is free."""
        return self.is_price or self.place in ("tensor", "tensors")


def plain_bytes(value: Any) -> int:
    """Facts as a compact encoding sends them: text in UTF-8, a number 8 bytes, a truth value 1;
    None and the names of fields nothing.
    """
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if value is None:
        return 0
    if isinstance(value, bool):
        return 1
    if isinstance(value, int | float):
        return 8
    if isinstance(value, Mapping):
        return sum(map(plain_bytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(plain_bytes, value))
    raise TypeError(f"{type(value).__name__} is no plain value: {value!r}")


def fact(num_bytes: int) -> Role:
    """One number or truth value."""
    return Role("body", lambda value, _: 0 if value is None else num_bytes)


def listed(num_bytes: int) -> Role:
    """A tuple of numbers of one width: token ids, say."""
    return Role("body", lambda value, _: num_bytes * len(value), list, tuple)


def plain() -> Role:
    """Text, or any nest of JSON values; see `plain_bytes`."""
    return Role("body", lambda value, _: plain_bytes(value))


def texts() -> Role:
    """A tuple of strings."""
    return Role("body", lambda value, _: plain_bytes(value), list, tuple)


def one_byte_each() -> Role:
    """A tuple of words out of a short list."""
    return Role("body", lambda value, _: len(value), list, tuple)


def nested(cls: Any) -> Role:
    """A dataclass with `to_body` and `from_body`; if it has `wire_bytes`, that is what it costs."""
    charge: Charge = lambda value, _: (  # noqa: E731 - as short as its siblings
        value.wire_bytes() if hasattr(value, "wire_bytes") else plain_bytes(value.to_body())
    )
    return Role("body", charge, lambda value: value.to_body(), cls.from_body)


def nested_all(cls: Any) -> Role:
    """A tuple of such."""
    one = nested(cls)
    return Role(
        "body",
        lambda values, precision: sum(one.charge(value, precision) for value in values),
        lambda values: [value.to_body() for value in values],
        lambda bodies: tuple(cls.from_body(body) for body in bodies),
    )


def rows_of_texts() -> Role:
    """A tuple of tuples of strings."""
    return Role(
        "body",
        lambda value, _: plain_bytes(value),
        lambda value: [list(row) for row in value],
        lambda value: tuple(map(tuple, value)),
    )


def rows_of_ids() -> Role:
    """A tuple of tuples of token ids."""
    return Role(
        "body",
        lambda value, _: 4 * sum(map(len, value)),
        lambda value: [list(row) for row in value],
        lambda value: tuple(map(tuple, value)),
    )


def free(_value: Any, _precision: WirePrecision) -> int:
    """Costs nothing."""
    return 0


def spent_for() -> Role:
    """A cause, for our energy reports alone."""
    return Role("body", free, to_json, from_json)


def bookkeeping() -> Role:
    """Known to our reports alone: where time went. No emulated system would send it."""
    return Role("body", free)


def column(num_bytes: int) -> Role:
    """An array with one entry a token, so many bytes for each number in it."""
    return Role("column", lambda value, _: num_bytes * value.size)


def tensor() -> Role:
    """An array that travels as it is: KV in its own dtype, vectors."""
    return Role("tensor", lambda value, _: int(value.nbytes))


def _kv(value: Array, precision: WirePrecision) -> int:
    return precision.kv_bytes(value)


def _query(value: Array, precision: WirePrecision) -> int:
    return precision.query_bytes(value)


def row_width(value: Array) -> int:
    """Numbers of a row; one that is a single digest has its own idea of what it stands for."""
    return int(value.shape[1]) if value.ndim > 1 else 1


def _rows(value: Array, precision: WirePrecision) -> int:
    return len(value) * precision.row_bytes(row_width(value))


def _sums(value: Array, precision: WirePrecision) -> int:
    return len(value) * precision.sum_bytes(row_width(value))


def arrays_by_name(place: str) -> Role:
    """Any number of arrays, as they are."""
    return Role(place, lambda value, _: sum(int(a.nbytes) for a in value.values()))


Flag = Annotated[bool, fact(1)]
Count = Annotated[int, fact(4)]
Moment = Annotated[int, fact(8)]
Text = Annotated[str, plain()]
Texts = Annotated[tuple[str, ...], texts()]
TokenIds = Annotated[tuple[int, ...], listed(4)]
RowsOfIds = Annotated[tuple[tuple[int, ...], ...], rows_of_ids()]
Tensor = Annotated[Array, tensor()]
KvBytes = Annotated[Array, Role("tensor", _kv)]
Queries = Annotated[Array, Role("tensor", _query)]
Rows = Annotated[Array, Role("tensor", _rows)]
Sums = Annotated[Array, Role("tensor", _sums)]

"""What a message says: one frozen dataclass a kind, and what each of its fields costs a link.

A field's annotation says where the field travels in a frame and what it is charged:

    @kind("dispatch", answer=Combine)
    @dataclass(frozen=True, slots=True)
    class Dispatch(Kind[Combine]):
        layer: Count                      # in the body, 4 bytes
        experts: Annotated[Array, Column(4)]    # a column, 4 bytes an entry
        hidden: Rows                      # a tensor, in the model's wire precision

Charged is what the emulated system would send, never what this Python process happens to carry: a
sum that travels here in float64, because only then all shardings agree to the bit, costs what the
model's precision says.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar, get_type_hints

from numpy.typing import NDArray

Array = NDArray[Any]

# What an envelope costs beside what the message says: the size of a typical encoded one.
ENVELOPE_BYTES = 64


class WirePrecision(Protocol):
    """How wide hidden rows travel; see `workers.model.numerics.Numerics`."""

    def row_bytes(self, width: int) -> int:
        """One hidden row of `width` numbers on its way to an expert."""
        ...

    def sum_bytes(self, width: int) -> int:
        """One partial sum of `width` numbers on its way back."""
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
    """

    place: str
    charge: Charge
    to_json: Convert = _same
    from_json: Convert = _same


def plain_bytes(value: Any) -> int:
    """Facts as a compact encoding sends them: text in UTF-8, a number 8 bytes, a truth value 1;
    None and the names of fields nothing.
    """
    if value is None:
        return 0
    if isinstance(value, str):
        return len(value.encode())
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


def bookkeeping() -> Role:
    """Known to our reports alone: where time went. No emulated system would send it."""
    return Role("body", lambda value, _: 0)


def column(num_bytes: int) -> Role:
    """An array with one entry a token, so many bytes for each number in it."""
    return Role("column", lambda value, _: num_bytes * value.size)


def tensor() -> Role:
    """An array that travels as it is: KV in its own dtype, vectors."""
    return Role("tensor", lambda value, _: int(value.nbytes))


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
Tensor = Annotated[Array, tensor()]
Rows = Annotated[Array, Role("tensor", _rows)]
Sums = Annotated[Array, Role("tensor", _sums)]

A_co = TypeVar("A_co", covariant=True)
K = TypeVar("K", bound="type[Kind[Any]]")


@dataclass(frozen=True, slots=True)
class Packed:
    """A content as a frame carries it: JSON-able body, columns of one length, tensors."""

    body: dict[str, Any]
    columns: dict[str, Array]
    tensors: dict[str, Array]


class Kind(Generic[A_co]):
    """Base of all contents. `A_co` is the content that answers it, as a call. Use `@kind`."""

    __slots__ = ()
    kind: ClassVar[str]
    roles: ClassVar[Mapping[str, Role]]
    # Fields that hold one array, and fields that hold several by name, as a frame carries them.
    one_array: ClassVar[tuple[str, ...]]
    several: ClassVar[tuple[str, ...]]

    def wire_bytes(self, precision: WirePrecision) -> int:
        """What a link charges: ENVELOPE_BYTES and every field."""
        return ENVELOPE_BYTES + sum(
            role.charge(getattr(self, name), precision) for name, role in self.roles.items()
        )

    def arrays(self) -> Iterator[Array]:
        """Every array."""
        for name in self.one_array:
            yield getattr(self, name)
        for name in self.several:
            yield from getattr(self, name).values()

    def pack(self) -> Packed:
        packed = Packed({}, {}, {})
        for name, role in self.roles.items():
            value = getattr(self, name)
            match role.place:
                case "body":
                    packed.body[name] = role.to_json(value)
                case "column":
                    packed.columns[name] = value
                case "tensor":
                    packed.tensors[name] = value
                case "columns":
                    packed.columns.update(value)
                case _:
                    packed.tensors.update(value)
        return packed

    @classmethod
    def unpack(cls, packed: Packed) -> "Kind[A_co]":
        """The reverse of `pack`. Raises KeyError, TypeError or ValueError on what it would not
        give.
        """
        fields: dict[str, Any] = {}
        for name, role in cls.roles.items():
            match role.place:
                case "body":
                    fields[name] = role.from_json(packed.body[name])
                case "column":
                    fields[name] = packed.columns[name]
                case "tensor":
                    fields[name] = packed.tensors[name]
                case "columns":
                    fields[name] = packed.columns
                case _:
                    fields[name] = packed.tensors
        return cls(**fields)


# Every kind that this process knows, by its name on the wire.
KINDS: dict[str, type[Kind[Any]]] = {}


def kind(name: str) -> Callable[[K], K]:
    """Name a content and make it known. Its fields are annotated with their roles."""

    def register(cls: K) -> K:
        known = KINDS.get(name)
        assert known is None or known.__qualname__ == cls.__qualname__, f"two kinds are {name!r}"
        roles: dict[str, Role] = {}
        for field, hint in get_type_hints(cls, include_extras=True).items():
            if getattr(hint, "__origin__", None) is ClassVar or field in ("kind", "roles"):
                continue
            found = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Role)]
            assert found, f"{cls.__name__}.{field} does not say what it costs a link"
            roles[field] = found[0]
        cls.kind, cls.roles = name, roles
        cls.one_array = tuple(f for f, r in roles.items() if r.place in ("column", "tensor"))
        cls.several = tuple(f for f, r in roles.items() if r.place in ("columns", "tensors"))
        KINDS[name] = cls
        return cls

    return register


@kind("reply")
@dataclass(frozen=True, slots=True)
class Reply(Kind[Any]):
    """An answer that says nothing but that it was done."""


@kind("error")
@dataclass(frozen=True, slots=True)
class Failed(Kind[Any]):
    """An answer that says why it was not; see `workers.errors`."""

    error: Annotated[Mapping[str, Any], plain()]

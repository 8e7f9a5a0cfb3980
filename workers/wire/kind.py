"""What a message says: one frozen dataclass a kind, and what each of its fields costs a link.

A field's annotation says where the field travels in a frame and what it is charged:

    @kind("dispatch")
    @dataclass(frozen=True, slots=True)
    class Dispatch(Kind[Combine]):
        layer: Count                      # in the body, 4 bytes
        experts: Annotated[Array, column(4)]  # a column, 4 bytes an entry
        hidden: Rows                      # a tensor, in the model's wire precision

The answer to it, as a call, is a `Combine`. `roles` has all that a field may be.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar, get_type_hints

from workers.hardware.energy.phase import OF_KIND, Cause, Phase
from workers.wire.roles import Array, Charge, Role, WirePrecision, free, plain

# What an envelope costs beside what the message says: the size of a typical encoded one.
ENVELOPE_BYTES = 64


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
    if TYPE_CHECKING:  # of the kind, or a field of each
        computed_for: Cause  # what the energy of its way is spent for
    kind: ClassVar[str]
    roles: ClassVar[Mapping[str, Role]]
    charges: ClassVar[tuple[tuple[str, Charge], ...]]  # of the fields that cost anything
    # Fields that hold one array, and fields that hold several by name, as a frame carries them.
    one_array: ClassVar[tuple[str, ...]]
    several: ClassVar[tuple[str, ...]]
    # Whether an unanswered call takes a credit of its receiver. False where the answer waits for
    # others than the receiver: it would hold up calls that need nobody else. Such a receiver bounds
    # them itself, by refusing.
    takes_credit: ClassVar[bool] = True

    def wire_bytes(self, precision: WirePrecision) -> int:
        """What a link charges: ENVELOPE_BYTES and every field, or tensors alone."""
        is_free = precision.free_metadata
        num_bytes = 0 if is_free else ENVELOPE_BYTES
        for name, charge in self.charges:
            if not is_free or self.roles[name].is_payload:
                num_bytes += charge(getattr(self, name), precision)
        return num_bytes

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
        if "computed_for" not in roles:
            cls.computed_for = OF_KIND.get(name, Phase.SERVING)
        cls.charges = tuple((f, r.charge) for f, r in roles.items() if r.charge is not free)
        cls.one_array = tuple(f for f, r in roles.items() if r.place in ("column", "tensor"))
        cls.several = tuple(f for f, r in roles.items() if r.place in ("columns", "tensors"))
        KINDS[name] = cls
        return cls

    return register


class Note(Kind[Any]):
    """What one end of a wire tells the other about messages between them; see `kinds.notes`."""

    __slots__ = ()


@kind("reply")
@dataclass(frozen=True, slots=True)
class Reply(Kind[Any]):
    """An answer that says nothing but that it was done."""


@kind("error")
@dataclass(frozen=True, slots=True)
class Failed(Kind[Any]):
    """An answer that says why it was not; see `workers.errors`."""

    error: Annotated[Mapping[str, Any], plain()]

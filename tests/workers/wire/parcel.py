"""A content for tests: anything, at any charge."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from workers.wire.kind import Kind, kind
from workers.wire.roles import Array, WirePrecision, arrays_by_name, bookkeeping, plain


@kind("parcel")
@dataclass(frozen=True, slots=True)
class Parcel(Kind["Parcel"]):
    """`charged` bytes on a link; 0: the envelope and what is in it."""

    body: Annotated[dict[str, Any], plain()] = field(default_factory=dict)
    columns: Annotated[dict[str, Array], arrays_by_name("columns")] = field(default_factory=dict)
    tensors: Annotated[dict[str, Array], arrays_by_name("tensors")] = field(default_factory=dict)
    charged: Annotated[int, bookkeeping()] = 0

    def wire_bytes(self, precision: WirePrecision) -> int:
        return self.charged or Kind.wire_bytes(self, precision)

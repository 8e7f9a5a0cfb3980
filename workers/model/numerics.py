"""What numbers travel between a model's parts, how partial sums of them merge, and what they cost.

Whatever stands between a model's parts (exchange, reducers) handles rows and sums as arrays whose
first axis is the token, and leaves what an entry is to its numerics: real numbers here; digests,
which add modulo 2^64, in `workers.model.digest.numerics`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.precision import Precision, WireKind
from kernels import codec, exchange
from kernels.numbers import from_bf16, quiet
from workers.model.program import Rows, Sums

Places = NDArray[np.intp] | slice

# Of an entry of a row as it travels: int8 rows are bytes, their scales among them.
_ENTRY_BYTES: dict[WireKind, int] = {"fp32": 4, "bf16": 2, "int8": 1}


class Numerics(Protocol):
    """Rows and sums change their form at both ends of a wire, in every world and on every wire."""

    def row_bytes(self, width: int) -> int:
        """What a link is charged for one row of `width` entries, as it travels."""
        ...

    def sum_bytes(self, width: int) -> int:
        """What a link is charged for one row of partial sums."""
        ...

    def kv_bytes(self, blocks: NDArray[Any]) -> int:
        """What links, tiers and stores are charged for keys and values, of all layers or of one."""
        ...

    def of_kv(self, numbers: str | None) -> "Numerics":
        """The same where keys and values are in other numbers than the cluster's (None)."""
        ...

    def query_bytes(self, heads: NDArray[Any]) -> int:
        """What a link is charged for queries, or for what they found: [T, N, D] or [T, N]."""
        ...

    @property
    def free_metadata(self) -> bool:
        """Whether tensors are all that a link is charged for."""
        ...

    def sent(self, rows_T: Rows) -> Rows:
        """Rows as they travel to their experts."""
        ...

    def received(self, rows_T: Rows) -> Rows:
        """The same as experts compute with. Raises ValueError where `sent` would not give them."""
        ...

    def answered(self, sums_T: Sums) -> Sums:
        """Partial sums as they travel back; `add` takes them so."""
        ...

    def zero(self, rows_T: Rows) -> Sums:
        """No sum yet for each of the rows, in the type in which sums merge."""
        ...

    def add(self, sums_T: Sums, places: Places, partial: Sums) -> None:
        """Merge partial sums into those of some rows, in place. No row is named twice."""
        ...

    def stretch(self, sums_T: Sums, rows: NDArray[np.intp], factors: NDArray[np.float64]) -> None:
        """Multiply the sums of some rows, in place, where an entry is a number."""
        ...


@dataclass(frozen=True, slots=True)
class Real:
    """Real activations. Sums merge in float64 in the order of their shards, whatever travels: so
    the bits do not depend on who answered first.

    row      what rows travel as: fp32 as they are, bf16, or int8 codes with an fp32 scale for each
             128 channels (`kernels.codec.to_rows`)
    sum      the same of sums, fp32 or bf16. Sums of exact mode travel in float64, for only then all
             shardings agree to the bit; charged is fp32, as a system sends it that needs no proof
    hidden   numbers of a row; only int8 needs to know
    free_metadata   tensors are all that a link is charged for
    """

    row: WireKind = "fp32"
    sum: WireKind = "fp32"
    hidden: int = 0
    free_metadata: bool = False

    def row_bytes(self, width: int) -> int:
        return width * _ENTRY_BYTES[self.row]

    def sum_bytes(self, width: int) -> int:
        return width * _ENTRY_BYTES[self.sum]

    def kv_bytes(self, blocks: NDArray[Any]) -> int:
        return int(blocks.nbytes)

    def of_kv(self, numbers: str | None) -> "Real":
        return self  # arrays are as large as what they are

    def query_bytes(self, heads: NDArray[Any]) -> int:
        return int(heads.nbytes)

    def sent(self, rows_T: Rows) -> Rows:
        return rows_T if self.row == "fp32" else codec.to_rows(rows_T, self.row)

    def received(self, rows_T: Rows) -> Rows:
        if self.row == "fp32":
            return rows_T
        return codec.from_rows(rows_T, self.hidden)

    def answered(self, sums_T: Sums) -> Sums:
        return sums_T if self.sum == "fp32" else codec.to_rows(sums_T, self.sum)

    def zero(self, rows_T: Rows) -> Sums:
        return np.zeros(rows_T.shape, dtype=np.float64)

    def add(self, sums_T: Sums, places: Places, partial: Sums) -> None:
        if isinstance(places, slice):
            _add(sums_T[places], partial)
        else:
            exchange.add(sums_T, places, partial)

    def stretch(self, sums_T: Sums, rows: NDArray[np.intp], factors: NDArray[np.float64]) -> None:
        sums_T[rows] *= factors[:, None]


@quiet
def _add(sums_T: Sums, partial: Sums) -> None:
    sums_T += from_bf16(partial) if partial.dtype == np.uint16 else partial


EXACT_NUMERICS = Real()


def numerics_of(precision: Precision, hidden: int, row: WireKind | None = None) -> Numerics:
    """Exact mode sends fp32. Speed modes send rows in `row`, or else in the numbers of their
    arithmetic, and sums in bf16, as DeepEP does (rows in one byte with scales, sums in bf16).
    """
    return EXACT_NUMERICS if precision.exact else Real(*_of_speed(precision, row), hidden)


def wire_formats(
    precision: Precision, row: WireKind | None = None
) -> tuple[WireKind, WireKind | Literal["fp64"]]:
    """What rows and sums of these numerics are, as an all-to-all writes them: exact mode's sums are
    float64.
    """
    return ("fp32", "fp64") if precision.exact else _of_speed(precision, row)


def _of_speed(precision: Precision, row: WireKind | None) -> tuple[WireKind, WireKind]:
    """Rows and sums of a speed mode."""
    return row or precision.arithmetic, "bf16"


def total(numerics: Numerics, partials: Sequence[Sums]) -> Sums:
    """The sum of all ranks' partials, merged in the order of the ranks. At least one."""
    sums = numerics.zero(partials[0])
    for partial in partials:
        numerics.add(sums, slice(None), partial)
    return sums

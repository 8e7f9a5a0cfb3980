"""What numbers travel between a model's parts, how partial sums of them merge, and what they cost.

Whatever stands between a model's parts (exchange, reducers) handles rows and sums as arrays whose
first axis is the token, and leaves what an entry is to its numerics: real numbers here; digests,
which add modulo 2^64, would be another class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.precision import Precision
from kernels import exchange
from kernels.numbers import quiet
from workers.model.program import Rows, Sums

Places = NDArray[np.intp] | slice
WireKind = Literal["fp32", "bf16", "int8"]

_VALUE_BYTES: dict[WireKind, int] = {"fp32": 4, "bf16": 2, "int8": 1}
_SCALE_BYTES: dict[WireKind, int] = {"fp32": 0, "bf16": 0, "int8": 4}  # an fp32 scale a row


class Numerics(Protocol):
    """`hidden` is the model's hidden size."""

    def row_bytes(self, hidden: int) -> int:
        """What a link is charged for one row on its way to its experts or to the next stage."""
        ...

    def sum_bytes(self, hidden: int) -> int:
        """What a link is charged for one row of partial sums."""
        ...

    def zero(self, rows_T: Rows) -> Sums:
        """No sum yet for each of the rows, in the type in which sums merge."""
        ...

    def add(self, sums_T: Sums, places: Places, partial: Sums) -> None:
        """Merge partial sums into those of some rows, in place. No row is named twice."""
        ...


@dataclass(frozen=True, slots=True)
class Real:
    """Real activations. Sums merge in float64 in the order of their shards, whatever travels: so
    the bits do not depend on who answered first.

    row, sum   kinds of numbers that the emulated system sends; what our processes carry may be
               wider
    """

    row: WireKind = "fp32"
    sum: WireKind = "fp32"

    def row_bytes(self, hidden: int) -> int:
        return hidden * _VALUE_BYTES[self.row] + _SCALE_BYTES[self.row]

    def sum_bytes(self, hidden: int) -> int:
        return hidden * _VALUE_BYTES[self.sum] + _SCALE_BYTES[self.sum]

    def zero(self, rows_T: Rows) -> Sums:
        return np.zeros(rows_T.shape, dtype=np.float64)

    def add(self, sums_T: Sums, places: Places, partial: Sums) -> None:
        if isinstance(places, slice):
            _add(sums_T[places], partial)
        else:
            exchange.add(sums_T, places, partial)


@quiet
def _add(sums_T: Sums, partial: Sums) -> None:
    sums_T += partial


EXACT_NUMERICS = Real()


def numerics_of(precision: Precision) -> Numerics:
    """Exact mode sends fp32. Speed modes send rows in the numbers of their arithmetic, and sums in
    bf16, as DeepEP does (rows in one byte with scales, sums in bf16).
    """
    return EXACT_NUMERICS if precision.exact else Real(precision.arithmetic, "bf16")


def total(numerics: Numerics, partials: Sequence[Sums]) -> Sums:
    """The sum of all ranks' partials, merged in the order of the ranks. At least one."""
    sums = numerics.zero(partials[0])
    for partial in partials:
        numerics.add(sums, slice(None), partial)
    return sums

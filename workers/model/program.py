"""What a model asks of whoever runs it: a program, a layer at a time.

A program is a generator: it yields what is to be done, and is sent what came of it. Where that is
done, and what it costs, is its interpreter's business: a chip's (`workers/chip/interpreter.py`), or
a plain loop in one process (`workers/model/local.py`).

    yields                           is sent
    Compute(work, kernel, args)      kernel(*args), when its emulated time is due
    Reduce(partial)                  the sum of the partials of all tensor-parallel ranks; of one
                                     rank, the partial as it is
    Experts(layer, rows, ...)        for each row the weighted sum over its experts
    Gather(rows)                     the same of all ranks that hold slices of the same keys
    Swap(rows)                       what each of these ranks had for this one
    Attend(layer, queries, own)      own's result, and what others found over the keys they hold
    SendNext(rows)                   None: the rows are on their way to the next pipeline stage

Letters: T tokens, H hidden, K experts a token, N heads, D numbers of a head's query.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from workers.hardware.work import Work

Hidden = Any  # the model's own representation of T hidden rows; only the model looks inside
Rows = NDArray[Any]  # T rows as they travel; only numerics and models know what a row is
Sums = NDArray[Any]  # sums of T rows, in the type in which they merge
# What enters a layer. Computed by the layer's own launch: the embedding, or the residual stream
# with the sums that the layer before was sent.
Enter = Callable[[], Hidden]


@dataclass(frozen=True, slots=True)
class Compute:
    """One launch on this machine, which declares what it asks for."""

    work: Work
    kernel: Callable[..., Any]
    args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Reduce:
    """This rank's share [T, H] of sums over all tensor-parallel ranks."""

    partial: Rows


@dataclass(frozen=True, slots=True)
class Gather:
    """Queries [T, N, D] of this rank's heads, for all ranks that hold slices of the same keys.

    num_bytes   that a link is charged for them
    """

    rows_TND: Rows
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Swap:
    """What this rank found over its slice of the keys, for each of these ranks its own [T, N, D].

    num_bytes   that a link is charged for one of them
    """

    rows_TND: tuple[Rows, ...]
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Experts:
    """Rows [T, ...] of one layer that want experts, and the gate's choice."""

    layer: int
    rows_T: Rows
    experts_TK: NDArray[np.int32]
    weights_TK: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Attend:
    """Queries [T, N, D] of one layer, of which some see keys that are elsewhere.

    own   attention over the keys that are here: launched while the queries are away
    """

    layer: int
    queries_TND: NDArray[np.float32]
    own: Compute


@dataclass(frozen=True, slots=True)
class SendNext:
    """The residual stream [T, H] at the end of a pipeline stage."""

    rows_T: Rows


Op: TypeAlias = Compute | Reduce | Gather | Swap | Experts | Attend | SendNext
R = TypeVar("R")
Program: TypeAlias = Generator[Op, Any, R]

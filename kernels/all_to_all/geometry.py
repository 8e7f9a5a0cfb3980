"""The sizes that all ranks of an all-to-all have in common, and what follows from them."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kernels.native import lib, missing

SendFormat = Literal["fp32", "bf16", "int8"]
BackFormat = Literal["fp32", "bf16", "int8", "fp64"]
# In the order of the native code's numbers.
FORMATS: tuple[BackFormat, ...] = get_args(BackFormat)
# What an element of a row is, as it travels.
DTYPES: dict[str, type[np.generic]] = {
    "fp32": np.float32,
    "bf16": np.uint16,
    "int8": np.uint8,
    "fp64": np.float64,
}


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes of an all-to-all; every rank must have the same.

    world              ranks, 1 .. 1024
    capacity           tokens that one dispatch may carry to one rank, 1 .. 65536
    hidden             channels of a row
    num_experts        of the model; their ids are 0 .. num_experts - 1
    experts_per_token  columns of `experts`
    send               how rows travel to experts: fp32, bf16, or int8 by the dispatch codec
    back               how sums travel back: the same, or fp64 (exact mode)

    Raises ValueError where one is out of its range.
    """

    world: int
    capacity: int
    hidden: int
    num_experts: int
    experts_per_token: int
    send: SendFormat = "fp32"
    back: BackFormat = "fp64"

    def __post_init__(self) -> None:
        for name, number in (("send", 3), ("back", 4)):
            if getattr(self, name) not in FORMATS[:number]:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be one of "
                    f"{', '.join(FORMATS[:number])}"
                )
        self.layout()

    def numbers(self) -> NDArray[np.int64]:
        """As the native code takes them."""
        sizes = (self.world, self.capacity, self.hidden, self.num_experts, self.experts_per_token)
        return np.array([*sizes, FORMATS.index(self.send), FORMATS.index(self.back)], np.int64)

    def layout(self) -> "Layout":
        out = np.zeros(11, np.int64)
        library().a2a_layout(self.numbers(), out)
        return Layout(*out.tolist())

    @property
    def sums_dtype(self) -> type[np.float32] | type[np.float64]:
        return np.float64 if self.back == "fp64" else np.float32


@dataclass(frozen=True, slots=True)
class Layout:
    """Bytes; `requests` to `rows` from the start of a work region (kernels/all_to_all/layout.h)."""

    arena: int
    work_begin: int
    work: int
    requests: int
    positions: int
    weights: int
    rows: int
    send_row: int
    answers_begin: int
    answer: int
    back_row: int


def library() -> Any:
    """The native library. Raises RuntimeError where there is none: nothing else can wait on memory
    that processes share.
    """
    if lib is None:
        raise RuntimeError(f"all_to_all needs the native library, which is {missing}")
    return lib

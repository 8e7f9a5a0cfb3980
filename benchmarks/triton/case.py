"""One twin at one shape: what it moves, how fast, and whether it is right."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.rows import Row

# Of results in bf16 steps, relative to the reference's length.
ERROR_MAX = 0.01


@dataclass
class Case:
    """One twin at one shape.

    num_bytes  that a call reads and writes, as shapes imply; tables of ids are left out
    call       runs it, once or over several distinct inputs, without waiting for the device
    wrong      says what is wrong with what `call` returned; "" where nothing is
    """

    name: str
    num_bytes: int
    call: Callable[[], Any]
    wrong: Callable[[Any], str]
    seconds: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def rows(self) -> Iterator[Row]:
        """Bandwidth, and its share of the copy's beside it."""
        second = statistics.median(self.seconds)
        name = f"{self.name}, {self.num_bytes / 2**20:,.0f} MiB"
        rounds = f"median of {len(self.seconds)} rounds"
        evidence = f"measured: {1e6 * second:,.1f} us, {rounds}"
        yield Row(name, self.num_bytes / second / 1e9, "GB/s", "none", True, evidence)
        share = 100 * statistics.median(self.shares)
        spread = f"{100 * min(self.shares):.1f} .. {100 * max(self.shares):.1f} %"
        evidence = f"measured: {rounds}, {spread}; beside copies before and after"
        yield Row(f"{self.name}, share of copy", share, "%", "none", True, evidence)


def differs(got: torch.Tensor, want: torch.Tensor) -> str:
    """What is wrong with `got` where bf16 rounded on the way."""
    error = float((got.double() - want).norm() / want.norm())
    return "" if error <= ERROR_MAX else f"off by {error:.3g} of the reference's length"


def unequal(what: str, got: torch.Tensor, want: torch.Tensor) -> str:
    """What is wrong with `got` where each bit counts."""
    if torch.equal(got.cpu(), want.cpu()):
        return ""
    return f"{what} are not the reference's, bit for bit"

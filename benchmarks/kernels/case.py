"""One op at one shape: how near it comes to what the machine can do, and how fast torch is."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from benchmarks.rows import Row
from kernels.numbers import Kind

DISTINCT_BYTES = 5 << 28  # 1.25 GiB: no cache holds it


@dataclass
class Case:
    """One op at one shape.

    once   runs over its distinct data, some or all, and returns what that had to take: the bytes to
           read or, where `peak` names a kind, the operations (a multiply-add is two)
    bar    percent of the read bandwidth, or of that peak; None where none was asked
    twin   the same in torch; both return the same measure, so that they compare by rate
    peak   the kind of numbers whose inner loop's peak bounds the op; None: reading does
    """

    name: str
    once: Callable[[], int]
    bar: int | None
    twin: Callable[[], int] | None = None
    twin_bar: float | None = None
    peak: Kind | None = None
    amount: int = 0  # what a pass took: bytes, or operations
    fractions: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    twin_rates: list[float] = field(default_factory=list)

    @property
    def unit(self) -> str:
        """Of rates: a billion a second is one a nanosecond."""
        return "GB/s" if self.peak is None else "Gop/s"

    @property
    def bound(self) -> str:
        if self.peak is None:
            return "read bandwidth"
        return f"the peak of the {self.peak} inner loop"

    def rows(self) -> Iterator[Row]:
        fraction = 100 * statistics.median(self.fractions)
        rate = statistics.median(self.rates)
        rounds = f"median of {len(self.rates)} rounds"
        took = f"{self.amount / 1e9:.2f} {self.unit[:-2]} in {self.amount / rate / 1e6:.1f} ms"
        evidence = f"measured: {took}, {rate:.1f} {self.unit}, share of {self.bound}, {rounds}"
        bar = "none" if self.bar is None else f">= {self.bar} % of {self.bound}"
        yield Row(self.name, round(fraction, 1), "%", bar, fraction >= (self.bar or 0), evidence)
        if self.twin_rates:
            speedup = rate / statistics.median(self.twin_rates)
            twin_bar = "none" if self.twin_bar is None else f">= {self.twin_bar:g}x"
            yield Row(
                f"{self.name}, beside torch {torch.__version__}",
                round(speedup, 2),
                "x",
                twin_bar,
                speedup >= (self.twin_bar or 0),
                f"measured: torch {statistics.median(self.twin_rates):.1f} {self.unit}",
            )


def timed(once: Callable[[], int]) -> tuple[int, float]:
    """What a pass took, bytes or operations, and how many of them a nanosecond."""
    start = time.perf_counter_ns()
    amount = once()
    return amount, amount / (time.perf_counter_ns() - start)

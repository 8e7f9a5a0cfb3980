"""One op at one shape: what it reads, how fast, and how fast torch is."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from benchmarks.rows import Row

DISTINCT_BYTES = 5 << 28  # 1.25 GiB: no cache holds it


@dataclass
class Case:
    """One op at one shape.

    once   runs over its distinct weights, some or all, and returns the bytes that it had to read
    bar    percent of the read bandwidth, None where none was asked
    twin   the same in torch; both return bytes, so that they compare by rate
    """

    name: str
    once: Callable[[], int]
    bar: int | None
    twin: Callable[[], int] | None = None
    twin_bar: float | None = None
    fractions: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    twin_rates: list[float] = field(default_factory=list)

    def rows(self) -> Iterator[Row]:
        fraction = 100 * statistics.median(self.fractions)
        rate = statistics.median(self.rates)
        evidence = f"measured: {rate:.1f} GB/s of weights, median of {len(self.rates)} rounds"
        bar = "none" if self.bar is None else f">= {self.bar} % of read bandwidth"
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
                f"measured: torch {statistics.median(self.twin_rates):.1f} GB/s",
            )


def rate_of(once: Callable[[], int]) -> float:
    """Bytes a nanosecond."""
    start = time.perf_counter_ns()
    moved = once()
    return moved / (time.perf_counter_ns() - start)

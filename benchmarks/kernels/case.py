"""One op at one shape: how near it comes to what the machine can do, and how fast torch is."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from benchmarks.rows import Row
from kernels.numbers import Kind

DISTINCT_BYTES = 5 << 28  # 1.25 GiB: no cache holds it


@dataclass(frozen=True)
class Machine:
    """What the machine did beside a case: bytes read and multiply-adds done a nanosecond.

    read   GB/s
    peak   Gop/s on registers, of the case's kind and instruction set; a multiply-add is two
    """

    read: float
    peak: float

    def roofline(self, intensity: float) -> float:
        """GB/s at `intensity` operations a byte: min(read, peak / intensity) (Williams et al.,
        "Roofline", 2009)."""
        return min(self.read, self.peak / intensity) if intensity else self.read


@dataclass
class Measured:
    """A case's rounds on one instruction set: GB/s, and each beside what the machine did."""

    rates: list[float] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)


@dataclass
class Case:
    """One op at one shape.

    once       runs over its distinct data, some or all, and returns the bytes that had to be read
    kind       the numbers that it multiplies: whose peak bounds it
    intensity  operations for each of these bytes; 0: nothing is multiplied
    bar        percent of the roofline; None where none was asked
    avx2_bar   the same on avx2, where it is another
    twin       the same in torch; returns the same measure, so that they compare by rate
    """

    name: str
    once: Callable[[], int]
    kind: Kind
    intensity: float
    bar: int | None
    avx2_bar: int | None = None
    twin: Callable[[], int] | None = None
    twin_bar: float | None = None
    num_bytes: int = 0  # that a pass had to read
    measured: dict[str, Measured] = field(default_factory=dict)  # by instruction set
    twin_rates: list[float] = field(default_factory=list)

    def rows(self) -> Iterator[Row]:
        for isa, measured in self.measured.items():
            yield self.row(isa, measured)
        if self.twin_rates and self.measured:
            yield self.twin_row()

    def row(self, isa: str, measured: Measured) -> Row:
        def percent(limit: Callable[[Machine], float]) -> float:
            pairs = zip(measured.rates, measured.machines, strict=True)
            return 100 * statistics.median(rate / limit(machine) for rate, machine in pairs)

        rate = statistics.median(measured.rates)
        bar = self.avx2_bar if isa == "avx2" and self.avx2_bar is not None else self.bar
        share = percent(lambda machine: machine.roofline(self.intensity))
        evidence = f"measured: {rate:.1f} GB/s, {percent(lambda m: m.read):.0f} % of reading"
        if self.intensity:
            of_peak = percent(lambda machine: machine.peak / self.intensity)
            operations = (
                f"{rate * self.intensity:.0f} Gop/s, {of_peak:.0f} % of the {self.kind} peak"
            )
            evidence += f"; {operations}"
        return Row(
            f"{self.name}, {isa}",
            round(share, 1),
            "%",
            "none" if bar is None else f">= {bar} % of the roofline",
            share >= (bar or 0),
            f"{evidence}; median of {len(measured.rates)} rounds",
        )

    def twin_row(self) -> Row:
        """Beside the last instruction set, which is the fastest."""
        isa, ours = list(self.measured.items())[-1]
        theirs = statistics.median(self.twin_rates)
        speedup = statistics.median(ours.rates) / theirs
        return Row(
            f"{self.name}, {isa} beside torch {torch.__version__}",
            round(speedup, 2),
            "x",
            "none" if self.twin_bar is None else f">= {self.twin_bar:g}x",
            speedup >= (self.twin_bar or 0),
            f"measured: torch {theirs:.1f} GB/s",
        )


def timed(once: Callable[[], int]) -> tuple[int, float]:
    """The bytes of a pass, and how many of them a nanosecond."""
    start = time.perf_counter_ns()
    num_bytes = once()
    return num_bytes, num_bytes / (time.perf_counter_ns() - start)

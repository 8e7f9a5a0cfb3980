"""Each kernel beside the roofline measured in the same run, on each instruction set, and beside
torch.

    python -m benchmarks.kernels [--json FILE] [--only moe] [--rounds 9] [--isa avx2]

The roofline is the smaller of two rates: of reading memory, and of the multiply-adds that the bytes
take, at the speed at which registers alone do them on that instruction set. A case that reading
bounds has more than 1 GiB of distinct weights, or keys; where a pass needs fewer of them (one token
names few experts), the read probe between passes has emptied the caches. The probes run before and
after each case in each interleaved round: a share is of the mean of the two, and the median over
rounds is shown. Bytes and operations are those that the shapes imply, not those that the kernel
happened to do.

Without --isa: the one that PERFUSE_ISA names, or all that this machine has but the portable one,
which is there to run everywhere, and the emulated one, which is for tests.
"""

import os
import re
import statistics
import sys
import time
import timeit
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

import kernels
from benchmarks.kernels.attention import attention_cases
from benchmarks.kernels.case import DISTINCT_BYTES, Case, Machine, Measured, timed
from benchmarks.kernels.codec import codec_cases
from benchmarks.kernels.linear import linear_cases
from benchmarks.kernels.mla import mla_cases
from benchmarks.kernels.moe import moe_cases
from benchmarks.kernels.sampling import sampling_rows
from benchmarks.kernels.scan import scan_cases
from benchmarks.rows import Row, arguments, report
from kernels import bandwidth, linear, native
from kernels.numbers import KINDS

CASES = (linear_cases, moe_cases, attention_cases, mla_cases, codec_cases, scan_cases)
# Of the peak beside a case: about 5 ms, as short as a region is on threads that are there already.
PEAK_ROUNDS = 100_000
# Not measured unless asked for.
SLOW = ("amx-emulated", "portable")
# torch's OpenMP threads look for work for some milliseconds after each call, on our cores.
SETTLE_S = 0.02


def overhead_row() -> Row:
    handle = linear.pack(np.zeros((1, 1), dtype=np.float32), "fp32").stored
    array = np.zeros((1, 1), dtype=np.float32)
    call = native.lib.nothing

    def cost_ns(*given: object) -> float:
        return 1e9 * min(timeit.repeat(lambda: call(*given), number=50_000, repeat=7)) / 50_000

    plain, arrays = cost_ns(handle, 1, 2, 3), cost_ns(handle, array, array, array)
    return Row(
        "call overhead, Python to native and back, GIL released",
        round(plain / 1000, 3),
        "us",
        "< 1 us",
        max(plain, arrays) < 1000,
        f"measured: a handle and three numbers; with three arrays {arrays / 1000:.3f} us",
    )


def machine(case: Case, region: bandwidth.Region) -> Machine:
    return Machine(
        region.num_bytes / region.read_ns(), bandwidth.peak(case.kind, PEAK_ROUNDS) / 1e9
    )


def measure_once(case: Case, isa: str, region: bandwidth.Region) -> list[float]:
    """A round of a case on an instruction set; the two read bandwidths beside it, GB/s."""
    native.force(isa)
    # Probed before and after: what else runs here meanwhile slows both alike.
    before = machine(case, region)
    case.num_bytes, rate = timed(case.once)
    after = machine(case, region)
    measured = case.measured.setdefault(isa, Measured())
    measured.rates.append(rate)
    measured.machines.append(
        Machine((before.read + after.read) / 2, (before.peak + after.peak) / 2)
    )
    return [before.read, after.read]


def measure(
    cases: list[Case], isas: Sequence[str], region: bandwidth.Region, rounds: int
) -> list[float]:
    """Fills in the cases' numbers; returns the read bandwidths, GB/s."""
    reads = []
    for _ in range(rounds):
        for case in cases:
            for isa in isas:
                reads += measure_once(case, isa, region)
            if case.twin is not None:
                case.twin_rates.append(timed(case.twin)[1])
                time.sleep(SETTLE_S)
    return reads


def probe_rows(region: bandwidth.Region, isas: Sequence[str], threads: int) -> Iterator[Row]:
    for count in dict.fromkeys((1, threads)):
        native.set_num_threads(count)
        rates = [region.num_bytes / region.read_ns() for _ in range(7)]
        name = f"read bandwidth, {count} threads, {region.num_bytes >> 20} MiB"
        best = f"measured: median of 7; best {max(rates):.1f}"
        yield Row(name, round(statistics.median(rates), 2), "GB/s", "none", True, best)
        for isa in isas:
            native.force(isa)
            yield from peak_rows(isa, count)
    native.set_num_threads(threads)


def peak_rows(isa: str, threads: int) -> Iterator[Row]:
    """What registers alone do, and what of it the products' inner loops do on cached weights."""
    for kind in KINDS:
        pairs = [(bandwidth.peak(kind), bandwidth.inner_loop(kind)) for _ in range(5)]
        peak, loop = (max(values) / 1e9 for values in zip(*pairs, strict=True))
        name = f"peak of {kind}, {isa}, {threads} threads"
        evidence = f"measured: best of 5; the inner loop does {100 * loop / peak:.0f} % of it"
        yield Row(name, round(peak), "Gop/s", "none", True, evidence)


def chosen_isas(asked: str) -> list[str]:
    """Slowest first. Raises ValueError where one is not there."""
    if asked:
        isas = asked.split(",")
        for isa in isas:
            native.force(isa)
        return isas
    if os.environ.get("PERFUSE_ISA"):
        return [native.lib.isa()]
    return [isa for isa in native.isas() if isa not in SLOW] or [native.lib.isa()]


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds")
    parser.add_argument("--only", default=".", help="a pattern: moe bf16, linear, scan ...")
    parser.add_argument("--threads", type=int, default=2, help="ours and torch's")
    parser.add_argument("--isa", default="", help="instruction sets, with commas between them")
    options = parser.parse_args()
    info = kernels.build_info()
    if not info.native:
        sys.stderr.write(f"Nothing to measure: {info}\n")
        return 1
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    native.set_num_threads(options.threads)
    load = Path("/proc/loadavg").read_text(encoding="ascii").split()[0]
    rng, chosen = np.random.default_rng(), re.compile(options.only)
    region = bandwidth.Region(DISTINCT_BYTES)
    isas = chosen_isas(options.isa)
    rows = [*probe_rows(region, isas, options.threads), overhead_row()]
    reads: list[float] = []
    for make in CASES:
        cases = list(make(rng, chosen))
        reads += measure(cases, isas, region, options.rounds)
        rows += [row for case in cases for row in case.rows()]
    rows += sampling_rows(rng, chosen, options.rounds)
    if reads:
        spread = f"measured: {min(reads):.1f} .. {max(reads):.1f} GB/s over {len(reads)} passes"
        name = f"read bandwidth among the cases, {options.threads} threads"
        middle = round(statistics.median(reads), 2)
        rows.append(Row(name, middle, "GB/s", "none", True, spread))
    title = f"{info}; {os.cpu_count()} cores, load {load} at the start"
    return report(rows, options.json, title)


if __name__ == "__main__":
    sys.exit(main())

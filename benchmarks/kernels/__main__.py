"""Each kernel beside the memory bandwidth measured in the same run, and beside torch.

    python -m benchmarks.kernels [--json FILE] [--only moe] [--rounds 9]

A case that reading bounds has more than 1 GiB of distinct weights, or keys; where a pass needs
fewer of them (one token names few experts), the read probe between passes has emptied the caches.
A case that products bound is beside the peak of their inner loop on cached weights. The probe runs
before and after each case in each interleaved round: a fraction is of the mean of the two, and the
median over rounds is shown. Bytes and operations are those that the shapes imply, not those that
the kernel happened to do.
"""

import os
import re
import statistics
import sys
import time
import timeit
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import kernels
from benchmarks.kernels.attention import attention_cases
from benchmarks.kernels.case import DISTINCT_BYTES, Case, timed
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
# Of the peak beside a case: about 10 ms, as short as a region is on threads that are there already.
PEAK_ROUNDS = 100_000
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


def machine_rate(case: Case, region: bandwidth.Region) -> float:
    """What bounds the case, in its unit: bytes read, or operations, a nanosecond."""
    if case.peak is None:
        return region.num_bytes / region.read_ns()
    return bandwidth.peak(case.peak, PEAK_ROUNDS) / 1e9


def measure(cases: list[Case], region: bandwidth.Region, rounds: int) -> list[float]:
    """Fills in the cases' numbers; returns the read bandwidths, GB/s."""
    reads = []
    for _ in range(rounds):
        for case in cases:
            # Probed before and after: what else runs here meanwhile slows both alike.
            before = machine_rate(case, region)
            case.amount, rate = timed(case.once)
            after = machine_rate(case, region)
            if case.peak is None:
                reads += [before, after]
            case.rates.append(rate)
            case.fractions.append(2 * rate / (before + after))
            if case.twin is not None:
                case.twin_rates.append(timed(case.twin)[1])
                time.sleep(SETTLE_S)
    return reads


def probe_rows(region: bandwidth.Region, threads: int) -> Iterator[Row]:
    for count in dict.fromkeys((1, threads)):
        native.set_num_threads(count)
        rates = [region.num_bytes / region.read_ns() for _ in range(7)]
        name = f"read bandwidth, {count} threads, {region.num_bytes >> 20} MiB"
        best = f"measured: median of 7; best {max(rates):.1f}"
        yield Row(name, round(statistics.median(rates), 2), "GB/s", "none", True, best)
        yield from peak_rows(count)
    native.set_num_threads(threads)


def peak_rows(threads: int) -> Iterator[Row]:
    """The inner loops in use; beside tiles, those of the vectors that they stand on."""
    chosen = native.lib.isa()
    for isa in (chosen, "avx512_bf16") if chosen == "amx" else (chosen,):
        native.force(isa)
        for kind in KINDS:
            value = max(bandwidth.peak(kind) for _ in range(5)) / 1e9
            name = f"peak of the {kind} inner loop, {isa}, {threads} threads"
            yield Row(name, round(value), "Gop/s", "none", True, "measured: best of 5, cached")
    native.force(chosen)


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds")
    parser.add_argument("--only", default=".", help="a pattern: moe bf16, linear, scan ...")
    parser.add_argument("--threads", type=int, default=2, help="ours and torch's")
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
    rows = [*probe_rows(region, options.threads), overhead_row()]
    reads: list[float] = []
    for make in CASES:
        cases = list(make(rng, chosen))
        reads += measure(cases, region, options.rounds)
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

"""Each kernel beside the memory bandwidth measured in the same run, and beside torch.

    python -m benchmarks.kernels [--json FILE] [--only moe] [--rounds 9]

Every case has more than 1 GiB of distinct weights; where a pass needs fewer of them (one token
names few experts), the read probe between passes has emptied the caches. The probe runs before and
after each case in each interleaved round: a fraction is of the mean of the two, and the median over
rounds is shown. Bytes are those that the shapes imply, not those that the kernel happened to load.
"""

import os
import re
import statistics
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

import kernels
from benchmarks.rows import Row, arguments, report
from kernels import bandwidth, linear, moe, native, scan
from kernels.numbers import KINDS, Kind, to_bf16

DISTINCT_BYTES = 5 << 28  # 1.25 GiB
# The experts of the 0.7 B model that end-to-end runs use; its top_k is 4.
HIDDEN, INNER, EXPERTS, TOP_K = 1024, 512, 32, 4
MOE_BARS = {"bf16": 85, "int8": 85, "int4": 70}
OUTPUTS, CHANNELS = 4096, 2048
VECTORS, DIM = 1_000_000, 384
# torch's OpenMP threads look for work for some milliseconds after each call, on our cores.
SETTLE_S = 0.02


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


def moe_cases(rng: np.random.Generator, chosen: re.Pattern[str]) -> Iterator[Case]:
    """Decode of 1, 4 and 16 tokens through layers of experts, routed at random in each."""
    for kind in ("bf16", "int8", "int4", "fp32"):
        if not chosen.search(f"moe {kind}"):
            continue
        layers = moe_layers(rng, kind)
        twins = torch_layers(len(layers)) if kind == "bf16" else []
        for tokens in (1, 4, 16):
            hidden = rng.standard_normal((tokens, HIDDEN)).astype(np.float32)
            weights = np.full((tokens, TOP_K), 1 / TOP_K, dtype=np.float32)
            yield Case(
                f"MoE decode {kind}, {tokens} tokens",
                moe_once(rng, layers, hidden, weights),
                MOE_BARS.get(kind),
                torch_moe_once(rng, twins, hidden) if twins else None,
            )


def moe_layers(rng: np.random.Generator, kind: Kind) -> list[moe.Experts]:
    """Enough layers; values repeat from layer to layer, memory does not."""
    wide, tall = (INNER, HIDDEN), (HIDDEN, INNER)
    gate, up, down = (rng.standard_normal(s).astype(np.float32) / 32 for s in (wide, wide, tall))
    layers: list[moe.Experts] = []
    while not layers or len(layers) * EXPERTS * layers[0].expert_bytes < DISTINCT_BYTES:
        layer = moe.Experts(kind, EXPERTS, HIDDEN, INNER)
        for slot in range(EXPERTS):
            layer.set(slot, gate, up, down)
        layers.append(layer)
    return layers


def routes(rng: np.random.Generator, tokens: int) -> np.ndarray:
    """[T, TOP_K]: distinct experts for each token."""
    return np.argsort(rng.random((tokens, EXPERTS)), axis=1)[:, :TOP_K].astype(np.int32)


def moe_once(
    rng: np.random.Generator, layers: list[moe.Experts], hidden: np.ndarray, weights: np.ndarray
) -> Callable[[], int]:
    dtype = np.float64 if layers[0].kind == "fp32" else np.float32
    out = np.empty(hidden.shape, dtype=dtype)
    planned = [routes(rng, len(hidden)) for _ in layers]
    active = [len(np.unique(experts)) for experts in planned]

    def once() -> int:
        for layer, experts in zip(layers, planned, strict=True):
            moe.forward(layer, hidden, experts, weights, out)
        return sum(active) * layers[0].expert_bytes

    return once


def torch_layers(num: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Gate and up side by side, and down, of all experts of a layer."""
    up = torch.randn(EXPERTS, 2 * INNER, HIDDEN).bfloat16() / 32
    down = torch.randn(EXPERTS, HIDDEN, INNER).bfloat16() / 32
    return [(up.clone(), down.clone()) for _ in range(num)]


def torch_moe_once(
    rng: np.random.Generator, layers: list[tuple[torch.Tensor, torch.Tensor]], hidden: np.ndarray
) -> Callable[[], int]:
    """Hugging Face's loop over the experts that are hit."""
    x = torch.from_numpy(hidden).bfloat16()
    planned = [torch.from_numpy(routes(rng, len(hidden))) for _ in layers]

    def once() -> int:
        moved = 0
        for (up, down), experts in zip(layers, planned, strict=True):
            out = torch.zeros_like(x)
            for expert in experts.unique().tolist():
                rows = (experts == expert).nonzero()[:, 0]
                gate, value = torch.nn.functional.linear(x[rows], up[expert]).chunk(2, dim=-1)
                inner = torch.nn.functional.silu(gate) * value
                share = torch.nn.functional.linear(inner, down[expert]) * (1 / TOP_K)
                out.index_add_(0, rows, share)
                moved += 3 * HIDDEN * INNER * 2
        return moved

    return once


def linear_cases(rng: np.random.Generator, chosen: re.Pattern[str]) -> Iterator[Case]:
    for kind in ("bf16", "int8", "int4", "fp32"):
        if not chosen.search(f"linear {kind}"):
            continue
        weight = rng.standard_normal((OUTPUTS, CHANNELS)).astype(np.float32)
        packed = [linear.pack(weight, kind)]
        while len(packed) * packed[0].num_bytes < DISTINCT_BYTES:
            packed.append(linear.pack(weight, kind))
        copies = [torch.from_numpy(weight).bfloat16() for _ in packed] if kind == "bf16" else []
        for rows in (1, 4, 8, 16) if kind == "bf16" else (4,):
            x = rng.standard_normal((rows, CHANNELS)).astype(np.float32)
            yield Case(
                f"dense linear {kind}, {rows} rows",
                linear_once(packed, x),
                85 if kind == "bf16" else None,
                torch_linear_once(copies, x) if copies else None,
                3 if rows == 4 else None,
            )


def linear_once(packed: list[linear.Weights], x: np.ndarray) -> Callable[[], int]:
    out = np.empty((len(x), OUTPUTS), dtype=np.float32)

    def once() -> int:
        for weights in packed:
            linear.forward(weights, x, out)
        return sum(weights.num_bytes for weights in packed)

    return once


def torch_linear_once(copies: list[torch.Tensor], x: np.ndarray) -> Callable[[], int]:
    rows = torch.from_numpy(x).bfloat16()

    def once() -> int:
        for weight in copies:
            torch.nn.functional.linear(rows, weight)
        return sum(weight.nbytes for weight in copies)

    return once


def scan_cases(rng: np.random.Generator, chosen: re.Pattern[str]) -> Iterator[Case]:
    if not chosen.search("scan int8"):
        return
    part = rng.standard_normal((VECTORS // 10, DIM)).astype(np.float32)
    shards = [scan.Shard("int8", VECTORS, DIM) for _ in range(4)]
    for shard in shards:
        for first in range(0, VECTORS, len(part)):
            shard.set(first, part)
    query = rng.standard_normal((1, DIM)).astype(np.float32)
    twin = torch.from_numpy(to_bf16(part).view(np.int16)).view(torch.bfloat16).repeat(10, 1)

    def once() -> int:
        for shard in shards:
            scan.top_k(shard, query, 10)
        return len(shards) * VECTORS * DIM

    def torch_once() -> int:
        torch.topk(twin @ torch.from_numpy(query[0]).bfloat16(), 10)
        return VECTORS * DIM  # the same vectors: torch has no int8 product, so bf16

    yield Case("vector scan int8, 1 M x 384, top 10", once, 85, torch_once)


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


def measure(cases: list[Case], region: bandwidth.Region, rounds: int) -> list[float]:
    """Fills in the cases' numbers; returns the read bandwidths, GB/s."""
    reads = []
    for _ in range(rounds):
        for case in cases:
            # Read before and after: what else runs here meanwhile slows both alike.
            before = region.num_bytes / region.read_ns()
            rate = rate_of(case.once)
            after = region.num_bytes / region.read_ns()
            reads += [before, after]
            case.rates.append(rate)
            case.fractions.append(2 * rate / (before + after))
            if case.twin is not None:
                case.twin_rates.append(rate_of(case.twin))
                time.sleep(SETTLE_S)
    return reads


def probe_rows(region: bandwidth.Region, threads: int) -> Iterator[Row]:
    for count in dict.fromkeys((1, threads)):
        native.set_num_threads(count)
        rates = [region.num_bytes / region.read_ns() for _ in range(7)]
        name = f"read bandwidth, {count} threads, {region.num_bytes >> 20} MiB"
        best = f"measured: median of 7; best {max(rates):.1f}"
        yield Row(name, round(statistics.median(rates), 2), "GB/s", "none", True, best)
        for kind in KINDS:
            value = max(bandwidth.peak(kind) for _ in range(5)) / 1e9
            name = f"peak of the {kind} inner loop, {count} threads"
            yield Row(name, round(value), "Gop/s", "none", True, "measured: best of 5, cached")
    native.set_num_threads(threads)


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
    for make in (linear_cases, moe_cases, scan_cases):
        cases = list(make(rng, chosen))
        reads += measure(cases, region, options.rounds)
        rows += [row for case in cases for row in case.rows()]
    if reads:
        spread = f"measured: {min(reads):.1f} .. {max(reads):.1f} GB/s over {len(reads)} passes"
        name = f"read bandwidth among the cases, {options.threads} threads"
        middle = round(statistics.median(reads), 2)
        rows.append(Row(name, middle, "GB/s", "none", True, spread))
    title = f"{info}; {os.cpu_count()} cores, load {load} at the start"
    return report(rows, options.json, title)


if __name__ == "__main__":
    sys.exit(main())

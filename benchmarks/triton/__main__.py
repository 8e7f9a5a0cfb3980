"""GPU twins beside the copy bandwidth of the chip, measured in the same run.

    python -m benchmarks.triton [--json FILE] [--only moe] [--rounds 20]

Needs torch, Triton and NumPy. Each case is held beside a reference first, then recorded as a CUDA
graph, so that launching from Python does not count. In each round a copy larger than every cache
runs before and after it: a share is of the mean of the two. Bytes are those that shapes imply.
"""

import re
import statistics
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise

import torch

from benchmarks.rows import UNAVAILABLE, Row, arguments, report
from benchmarks.triton.case import Case

COPY_BYTES = 1 << 29  # read once and written once
WARM_UPS = 3


def missing() -> str:
    """Why nothing can be measured; "" where it can."""
    if not torch.cuda.is_available():
        return "this machine has no GPU that torch can use"
    try:
        import triton
    except ImportError as error:
        return f"Triton is not installed ({error})"
    if triton.knobs.runtime.interpret:
        return "TRITON_INTERPRET is set: Triton would run its interpreter"
    return ""


def families(device: torch.device) -> Iterator[Callable[[], list[Case]]]:
    """Cases that share memory, so that one family at a time holds some."""
    from benchmarks.triton.attention import gqa_case, mla_case
    from benchmarks.triton.codec import codec_cases
    from benchmarks.triton.moe import experts, moe_case

    # 512 MiB of keys and values, of many sequences and of one.
    yield lambda: [gqa_case(device, 32, 4096, 64, 8, 128)]
    yield lambda: [gqa_case(device, 1, 131_072, 64, 8, 128)]
    # 576 MiB of latent rows; 16 heads are what one of 8 chips has of DeepSeek-V3's 128.
    yield lambda: [mla_case(device, 128, 4096, 16, 512, 64)]
    yield lambda: [mla_case(device, 128, 4096, 128, 512, 64)]

    def moe() -> list[Case]:
        weights = experts(device, 128, 2048, 768)  # Qwen3-30B-A3B's: 9 MiB each
        return [moe_case(weights, tokens, 8) for tokens in (1, 4, 16, 64, 256)]

    yield moe
    yield lambda: codec_cases(device, 4096, 7168, 8, 64)


def recorded(call: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """`call` as a graph; its results live as long as the graph does."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph


def measure(case: Case, copy: Callable[[], object], rounds: int) -> list[float]:
    """Fills in the case's numbers; returns the copies' bandwidths, bytes a second."""
    graph = recorded(case.call)
    copies = []
    for _ in range(rounds):
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        copy()  # keeps the device busy while the rest is sent to it
        for mark, run in zip(marks, (copy, graph.replay, copy, None), strict=True):
            mark.record()
            if run is not None:
                run()
        torch.cuda.synchronize()
        times = [a.elapsed_time(b) / 1000 for a, b in pairwise(marks)]
        around = [2 * COPY_BYTES / times[0], 2 * COPY_BYTES / times[2]]
        case.seconds.append(times[1])
        case.shares.append(case.num_bytes / times[1] / statistics.mean(around))
        copies += around
    return copies


def all_rows(device: torch.device, chosen: re.Pattern[str], rounds: int) -> list[Row]:
    source = torch.empty(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rows, copies = [], []
    for family in families(device):
        for case in family():
            if not chosen.search(case.name):
                continue
            wrong = case.wrong(case.call())
            if wrong:
                rows.append(Row(case.name, "wrong", "", "right", False, f"measured: {wrong}"))
                continue
            copies += measure(case, lambda: target.copy_(source), rounds)
            rows += case.rows()
        torch.cuda.empty_cache()
    if copies:
        spread = f"measured: {min(copies) / 1e9:.0f} .. {max(copies) / 1e9:.0f} GB/s"
        name = f"copy, {2 * COPY_BYTES >> 20:,} MiB read and written"
        middle = statistics.median(copies) / 1e9
        evidence = f"{spread}, median of {len(copies)} among the cases"
        rows.insert(0, Row(name, middle, "GB/s", "none", True, evidence))
    return rows


def title(device: torch.device) -> str:
    import triton

    chip = torch.cuda.get_device_properties(device)
    size = f"{chip.multi_processor_count} multiprocessors, {chip.total_memory / 2**30:.0f} GiB"
    built = f"torch {torch.__version__}, Triton {triton.__version__}"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {chip.name}, {size}; {built}"


def main(given: list[str] | None = None) -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=20, help="of each case")
    parser.add_argument("--only", default=".", help="a pattern: GQA, MLA, MoE, codec pack ...")
    options = parser.parse_args(given)
    why = missing()
    if why:
        sys.stderr.write(f"Nothing to measure: {why}.\n")
        return UNAVAILABLE
    torch.set_grad_enabled(False)
    device = torch.device("cuda", torch.cuda.current_device())
    rows = all_rows(device, re.compile(options.only, re.IGNORECASE), options.rounds)
    return report(rows, options.json, title(device))


if __name__ == "__main__":
    sys.exit(main())

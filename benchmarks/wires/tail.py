"""The longest of many rounds: `python -m benchmarks.wires.tail [--rounds N] [--json FILE]`.

Rounds as in `all_to_all` (8 tokens a rank of 2,048, int8 both ways, two pinned ranks), while a
process on each of their processors does nothing but run. A round is as long as it was for the rank
that took longest; of each that takes a millisecond or more the kernel says how long its ranks ran
and how long they had no processor.

Expected before the first run: a rank that wakes takes a processor from one that only runs, so most
rounds are as short as without load, or a few us longer for the switches. But whoever used up its
share waits for the other's slice, 3 ms or so on Linux: one round in hundreds, so p99 is some ms and
p99.9 about two slices, 6 to 8 ms. Above 10 ms only where a rank waits for several slices, and then
the kernel's count says so; a wake-up that was lost would show as a round in which nobody ran or
waited.

It came out at a median of 18 us, p99 of 2.5 ms and p99.9 of 6.5 ms; with a compiler on the same two
processors besides at 17 us, 8 ms and 20 ms. All 27 rounds above 10 ms waited for a processor.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.rows import Row, arguments, report
from benchmarks.wires.all_to_all import launch
from kernels.all_to_all.rank import SPIN_NS

ROUNDS, RANKS = 100_000, 2
STALL_NS = 10_000_000
# A cause explains a round of which it is this part.
PART = 0.5
SPINNER = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


@contextmanager
def load() -> Iterator[None]:
    """One that only runs, on each of the ranks' processors."""
    cpus = sorted(os.sched_getaffinity(0))[:RANKS]
    running = [subprocess.Popen([sys.executable, "-c", SPINNER, str(cpu)]) for cpu in cpus]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def cause(took_ns: int, ranks: Sequence[tuple[int, int]]) -> str:
    """Why a round was long, by what its ranks ran and waited, ns; "" where neither says. They may
    wait one after the other: the second for what the first did late. Whoever was late to begin
    has waited before, while the others' clocks ran.
    """
    if sum(waited for _, waited in ranks) >= PART * took_ns:
        return "no processor: others ran on it"
    if max(ran for ran, _ in ranks) >= PART * took_ns + SPIN_NS:
        return "a rank ran all the while: its processor was slow or the host's"
    return ""


def measure(rounds: int) -> tuple[list[int], list[tuple[int, str]]]:
    """Nanoseconds of every round, and of the stalls each with its cause."""
    with tempfile.TemporaryDirectory() as folder, load():
        rank = [sys.executable, "-m", "benchmarks.wires._tail_rank"]
        ends = [str(RANKS), folder, str(rounds)]
        launch([[*rank, str(number), *ends] for number in range(RANKS)], {})
        kept = [
            json.loads(Path(folder, f"{number}.json").read_text(encoding="utf-8"))
            for number in range(RANKS)
        ]
    taken = np.max([one["durations"] for one in kept], axis=0)
    stalls = []
    for number in np.flatnonzero(taken > STALL_NS).tolist():
        took_ns = int(taken[number])
        counts = [
            (ran, within if one["durations"][number] == took_ns else since)
            for one in kept
            for ran, within, since in (one["long"].get(str(number), (0, 0, 0)),)
        ]
        stalls.append((took_ns, cause(took_ns, counts)))
    return taken.tolist(), stalls


def rows(taken: Sequence[int], stalls: Sequence[tuple[int, str]]) -> list[Row]:
    p50, p99, p999, longest = (np.percentile(taken, (50, 99, 99.9, 100)) / 1e3).tolist()
    named = Counter(why for _, why in stalls)
    unnamed = named.pop("", 0)
    what = f"{RANKS} ranks, a process that only runs beside each"
    told = "; ".join(f"{count} of them: {why}" for why, count in named.most_common())
    evidence = (
        f"measured: {len(taken):,} rounds, median {p50:.1f} us, p99 {p99:.0f} us, longest "
        f"{longest / 1e3:.1f} ms"
    )
    return [
        Row(f"all-to-all under load, p99.9, {what}", round(p999), "us", "none: shown", True,
            evidence),
        Row(f"rounds above 10 ms without a cause, of {len(stalls)}, {what}", unnamed, "", "0",
            not unnamed, f"measured: by the kernel's counts; {told or 'there is none'}"),
    ]  # fmt: skip


def run(rounds: int = ROUNDS) -> list[Row]:
    return rows(*measure(rounds))


def main() -> int:
    parser = arguments("The tail of the all-to-all under load.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    return report(run(options.rounds), options.json, "The longest of many rounds")


if __name__ == "__main__":
    sys.exit(main())

"""Tokens to experts and back between processes: `python -m benchmarks.wires.all_to_all [--json
FILE] [--rounds N] [--blocks N]`, beside MPICH's Alltoallv and gloo.

8 tokens a rank of 2,048 channels go to every rank as int8 with scales, and back as they came: 16.9
KB a pair and way. Everything is rounded before the clock starts and checked, every round, after it
has stopped. A round is as long as it was for the rank that took longest. Ours makes sums of what
comes back (float32, in the order of ranks) within that time; MPICH and gloo only move bytes. Blocks
of all three take turns, so that what else runs on the machine hits all alike. Between blocks it is
measured how far the two processors are apart (`apart`), which a rented machine changes by the
minute: rounds between cores of one cache are shown beside all rounds.

Expected before the first run, on two processors of 2.6 GHz: with two ranks, 4 copies of 17 KB a
rank from cache to cache, 1 us each, and 4 us of calls and sums: 8 us. MPICH copies each twice and
sums nothing: 12 to 15 us. Four ranks on two processors must give way to each other at least twice a
round, 3 us each, and copy four times as much: 80 us; MPICH spins while the rank it waits for has no
processor: ten times that, and gloo's 24 messages over TCP, each some 40 us: 2,000 us.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.rows import Row, arguments, report
from benchmarks.wires.apart import NEAR_NS, apart_ns

ROOT = Path(__file__).resolve().parents[2]
# The interpreter of an environment with the packages mpich and mpi4py (benchmarks.wires.setup).
MPI_PYTHON = ROOT / "build" / "wires" / "mpi" / "bin" / "python"
# gloo and, on four ranks, MPICH take milliseconds a round: a part of the rounds says enough.
SLOW_PART = 20
BLOCK_TIMEOUT_S = 300
ROUNDS, BLOCKS = 6000, 12


def launch(commands: Sequence[Sequence[str]], environment: dict[str, str]) -> None:
    """All at once; raises RuntimeError with what the first one that failed has said."""
    started = [
        subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for command in commands
    ]  # fmt: skip
    try:
        finish(started)
    finally:
        for process in started:
            process.kill()
            process.wait()


def finish(started: Sequence["subprocess.Popen[str]"]) -> None:
    """Wait for all; raises RuntimeError with what the first one that failed has said."""
    for process in started:
        said, _ = process.communicate(timeout=BLOCK_TIMEOUT_S)
        if process.returncode:
            raise RuntimeError(f"{process.args!r}: {process.returncode}\n{said}")


def longest(folder: str, ranks: int) -> list[int]:
    """Of each round that ranks have kept, as long as it was for the one that took longest."""
    taken = [
        json.loads(Path(folder, f"{number}.json").read_text(encoding="utf-8"))
        for number in range(ranks)
    ]
    return [int(most) for most in np.max(taken, axis=0)]


def block(kind: str, ranks: int, rounds: int, mpi_python: Path) -> list[int]:
    """Nanoseconds of each round, of the rank that took longest."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "mpich":
            command = [
                str(mpi_python.parent / "mpiexec"), "-n", str(ranks), str(mpi_python),
                "-m", "benchmarks.wires._mpi_rank", folder, str(rounds),
            ]  # fmt: skip
            launch([command], {})
        else:
            rank = [sys.executable, "-m", "benchmarks.wires._rank", kind]
            ends = [str(ranks), folder, str(rounds)]
            launch([[*rank, str(number), *ends] for number in range(ranks)], {})
        return longest(folder, ranks)


def measure(
    kinds: Sequence[str], ranks: int, rounds: int, blocks: int, mpi_python: Path
) -> tuple[dict[str, list[int]], dict[str, list[int]], list[float]]:
    """By kind: all rounds, and those of blocks before and after which the processors were cores of
    one cache. And how far these were apart, each time.
    """
    taken: dict[str, list[int]] = {kind: [] for kind in kinds}
    near: dict[str, list[int]] = {kind: [] for kind in kinds}
    apart = [apart_ns()]
    for _ in range(blocks):
        for kind in kinds:
            slow = kind == "gloo" or (kind == "mpich" and ranks > 2)
            number = max(20, rounds // (SLOW_PART if slow else 1) // blocks)
            rounds_ns = block(kind, ranks, number, mpi_python)
            taken[kind] += rounds_ns
            apart.append(apart_ns())
            if all(each is not None and each <= NEAR_NS for each in apart[-2:]):
                near[kind] += rounds_ns
    return taken, near, [each for each in apart if each is not None]


def how(taken: list[int], load: float) -> str:
    """What a median rests on."""
    low, high = np.percentile(taken, (10, 90)) / 1e3
    return (
        f"measured: median of {len(taken)} rounds, 10 % below {low:.1f} us, 90 % below "
        f"{high:.1f} us; load {load:.1f} on {os.cpu_count()} processors"
    )


def rows_of(ranks: int, taken: dict[str, list[int]], load: float) -> list[Row]:
    what = f"{ranks} ranks on 2 processors"
    median_us = {kind: float(np.median(each)) / 1e3 for kind, each in taken.items()}
    ours = median_us["int8"]
    bar = "<= 10 us" if ranks == 2 else "none"
    rows = [
        Row(f"dispatch and combine, int8 both ways, {what}", round(ours, 1), "us", bar,
            ranks != 2 or ours <= 10, how(taken["int8"], load))
    ]  # fmt: skip
    names = {"bf16": "the same, bf16 back", "mpich": "MPICH's Alltoallv pair", "gloo": "gloo's"}
    rows += [
        Row(f"{names[kind]}, {what}", round(median_us[kind], 1), "us", "none", True,
            how(each, load))
        for kind, each in taken.items() if kind != "int8"
    ]  # fmt: skip
    if "mpich" in taken:
        ratio = ours / median_us["mpich"]
        rows.append(Row(f"ours beside MPICH, {what}", round(ratio, 3), "x of its time", "<= 1",
                        ratio <= 1, "measured: medians of the same run"))  # fmt: skip
    else:
        rows.append(Row(f"ours beside MPICH, {what}", "not at hand", "", "<= 1", False,
                        "measured: not, no MPICH (python -m benchmarks.wires.setup)"))  # fmt: skip
    times = median_us["gloo"] / ours
    bar = ">= 20" if ranks == 4 else "none"
    rows.append(Row(f"gloo beside ours, {what}", round(times, 1), "x of our time", bar,
                    ranks != 4 or times >= 20, "measured: medians of the same run"))  # fmt: skip
    tail = float(np.percentile(taken["int8"], 99.9)) / 1e3
    rows.append(Row(f"ours, p99.9, {what}", round(tail, 1), "us", "none", True,
                    how(taken["int8"], load)))  # fmt: skip
    return rows


def near_rows(
    taken: dict[str, list[int]], near: dict[str, list[int]], apart: Sequence[float], load: float
) -> list[Row]:
    """Of two ranks, between cores of one cache; and how far they were apart all the while."""
    rows = []
    if apart:
        low, middle, high = np.percentile(apart, (0, 50, 100))
        rows.append(Row("a cache line between the two processors and back", round(middle), "ns",
                        "none: shown", True,
                        f"measured: {len(apart)} times, {low:.0f} to {high:.0f} ns"))  # fmt: skip
    for kind, bar in (("int8", "<= 10 us"), ("mpich", "none: shown")):
        each = near.get(kind, [])
        if each:
            what = "dispatch and combine, int8" if kind == "int8" else "MPICH's Alltoallv pair"
            value = float(np.median(each)) / 1e3
            share = f"{len(each) / len(taken[kind]):.0%} of the rounds"
            rows.append(Row(f"{what}, 2 ranks, while both processors are of one cache",
                            round(value, 1), "us", bar, kind != "int8" or value <= 10,
                            f"{how(each, load)}; {share}"))  # fmt: skip
    return rows


def run(rounds: int = ROUNDS, blocks: int = BLOCKS, mpi_python: Path = MPI_PYTHON) -> list[Row]:
    """Without MPICH where it is not at hand."""
    kinds = ["int8", "bf16", "mpich", "gloo"]
    if shutil.which(mpi_python) is None:
        kinds.remove("mpich")
    rows = []
    for ranks in (2, 4):
        taken, near, apart = measure(kinds, ranks, rounds, blocks, mpi_python)
        load = os.getloadavg()[0]
        rows += rows_of(ranks, taken, load)
        rows += near_rows(taken, near, apart, load) if ranks == 2 else []
    return rows


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of ours and two-rank MPICH")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="in which all take turns")
    parser.add_argument("--mpi-python", type=Path, default=MPI_PYTHON, metavar="FILE",
                        help="of an environment with mpich and mpi4py")  # fmt: skip
    chosen = parser.parse_args()
    rows = run(chosen.rounds, chosen.blocks, chosen.mpi_python)
    return report(rows, chosen.json, "All-to-all between processes of one machine")


if __name__ == "__main__":
    sys.exit(main())

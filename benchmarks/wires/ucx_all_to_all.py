"""Tokens to experts and back between network namespaces: `python -m benchmarks.wires.ucx_all_to_all
[--json FILE] [--rounds N] [--blocks N]`.

Two ranks, each in a process and a network namespace of its own, joined by a cable of the kernel's
(`veth`). 8 tokens a rank of 2,048 channels go to both ranks as int8 with scales, and back as they
came: 16.9 KB each way. Ours is the native all-to-all over UCX's TCP, sums included; beside it the
same bytes over the project's gRPC streams, there and back. Blocks of both take turns. All else is
as in `all_to_all`.

Expected before the first run, on two processors of 2.6 GHz: TCP between namespaces takes 20 us from
one process to the other, 17 KB a further 10 (two copies, three segments of UCX's); there and back
60 us, and 10 of calls and sums: 70 us. gRPC needs 200 us for a round trip of 4 KiB on loopback;
here each side sends and answers at once on one processor of its own, and copies more: 400 us. So
some 6 times ours.

Found: 45 and 47 us in two runs, gRPC 345 and 296: 7.7 and 6.3 times ours (loads of 3.4 and 3.9; 44
and 317 in a shorter one at 14). A crossing is cheaper than expected, which was not taken apart.
Segments of 64 KB, or no copies in UCX, changed nothing (46.1 us without, 46.0 and 46.7); nor did
looking for 0 to 300 us, but for the slowest tenth (151 us without looking, 92 with 300).
"""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec

import numpy as np

from benchmarks.rows import Row, arguments, report
from benchmarks.wires import veth
from benchmarks.wires.all_to_all import ROOT, finish, how, longest

KINDS = ("ucx", "grpc")
ROUNDS, BLOCKS, BAR = 3000, 5, 3
NAME = "dispatch and combine between two namespaces, int8 both ways"


def hindrance() -> str:
    """What is missing here; "" if nothing."""
    if find_spec("libucx") is None:
        return "needs the extra ucx: pip install 'perfuse[ucx]'"
    return veth.hindrance()


def block(kind: str, rounds: int) -> list[int]:
    """Nanoseconds of each round, of the rank that took longest. Raises RuntimeError where one
    fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.wires._far_rank", kind, str(rank), folder,
                 str(rounds)],
                cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for rank in range(2)
        ]  # fmt: skip
        try:
            for process in started:
                assert process.stdout is not None
                if (said := process.stdout.readline()) != "entered\n":
                    raise RuntimeError(said + process.stdout.read())
            with veth.joined((started[0].pid, started[1].pid)):
                for process in started:
                    assert process.stdin is not None
                    process.stdin.write("\n")
                    process.stdin.flush()
                finish(started)
        finally:
            for process in started:
                process.kill()
                process.wait()
        return longest(folder, 2)


def rows_of(taken: dict[str, list[int]], load: float) -> list[Row]:
    median_us = {kind: float(np.median(each)) / 1e3 for kind, each in taken.items()}
    times = median_us["grpc"] / median_us["ucx"]
    return [
        Row(f"{NAME}, UCX over TCP", round(median_us["ucx"], 1), "us", "none", True,
            how(taken["ucx"], load)),
        Row(f"{NAME}, gRPC", round(median_us["grpc"], 1), "us", "none", True,
            how(taken["grpc"], load)),
        Row("gRPC beside UCX, between two namespaces", round(times, 2), "x of our time",
            f">= {BAR}", times >= BAR, "measured: medians of the same run"),
    ]  # fmt: skip


def run(rounds: int = ROUNDS, blocks: int = BLOCKS) -> list[Row]:
    if why := hindrance():
        return [Row(NAME, "left out", "", "none", True, f"measured: not, {why}")]
    taken: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for _ in range(blocks):
        for kind in KINDS:
            taken[kind] += block(kind, rounds // blocks)
    return rows_of(taken, os.getloadavg()[0])


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="in which both take turns")
    chosen = parser.parse_args()
    rows = run(chosen.rounds, chosen.blocks)
    return report(rows, chosen.json, "All-to-all between two network namespaces")


if __name__ == "__main__":
    sys.exit(main())

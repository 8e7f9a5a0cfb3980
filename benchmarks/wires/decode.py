"""Decode over each wire: `python -m benchmarks.wires.decode [--json FILE]`.

The default local cluster with emulation off: `perfuse-tiny`, two decode chips, four expert shards,
8 streams that put in prompts of 8 tokens at the gateway's node and decode 128. Each wire has a
cluster of its own, all stand in turn, several times over; the ratio is of the medians.

Expected before the first run: a decode step of four layers crosses 4 x 4 x 2 messages and reports
its tokens. On two cores the cluster takes what its messages cost in processor time: by gRPC some
230 us a round trip for both sides (`round_trip`), by shared memory 60 us, by UCX 140 us; the
endpoint above, the arithmetic and the event loops are the same in all three. So shared memory
gives 1.5x to 2.5x of gRPC, and 3x only if the wire were almost all of a step.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from statistics import median

import psutil

from benchmarks.beside.pairs import Result, in_turn
from benchmarks.fixed import lengths
from benchmarks.rows import Row, arguments, report
from benchmarks.runs import EMULATION_OFF, RUN_TIMEOUT_S, demo, standing
from cluster.workload.build import Workload, build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema.wires import has_ucx

STREAMS = 8
PROMPT_TOKENS, ANSWER_TOKENS = 8, 128
PER_BLOCK, BLOCKS = 16, 3  # requests of a block, and blocks of a cluster after one to warm up
ROUNDS = 3
BAR = 3.0
LOAD: Mapping[str, object] = {
    "placement.collections": None,
    **lengths(PROMPT_TOKENS, ANSWER_TOKENS),
    "workload.arrivals.closed.concurrency": STREAMS,
    "workload.sampling.ignore_eos": True,
}


def rate(wire: str) -> Result:
    """Tokens a second of one cluster, the median of its blocks; processor time of a token."""
    changes = {**EMULATION_OFF, **LOAD, "cluster.transport": wire}
    blueprint = Blueprint.draw(demo((1 + BLOCKS) * PER_BLOCK, changes))
    requests = build_workload(blueprint.scenario, blueprint.model.vocab).requests
    found, spent_s = [], []
    with standing(blueprint, f"decode over {wire}") as world:
        processes = [psutil.Process(pid) for pid in world.ask_all("pid").values()]
        for first in range(0, len(requests), PER_BLOCK):
            block = Workload(requests[first : first + PER_BLOCK], STREAMS)
            begun_s, before_s = time.monotonic(), _spent_s(processes)
            answers = world.ask_gateway("run", block, timeout_s=RUN_TIMEOUT_S)
            tokens = sum(len(answer.token_ids) for answer in answers)
            if tokens != PER_BLOCK * ANSWER_TOKENS:
                raise RuntimeError(f"{tokens} tokens came of {PER_BLOCK} x {ANSWER_TOKENS}")
            found.append(tokens / (time.monotonic() - begun_s))
            spent_s.append((_spent_s(processes) - before_s) / tokens)
    return {"tokens_per_s": median(found[1:]), "cpu_ms": 1e3 * median(spent_s[1:])}


def _spent_s(processes: Sequence[psutil.Process]) -> float:
    """Processor time of the cluster's processes so far: what else runs here has no part in it."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def run(rounds: int = ROUNDS) -> list[Row]:
    wires = ("grpc", "ucx", "shm") if has_ucx() else ("grpc", "shm")
    found = dict(zip(wires, in_turn(rate, wires, rounds), strict=True))
    return [row(wire, found[wire], found["grpc"]) for wire in wires]


def row(wire: str, found: Sequence[Result], grpc: Sequence[Result]) -> Row:
    rates = [one["tokens_per_s"] for one in found]
    ratio = median(rates) / median(one["tokens_per_s"] for one in grpc)
    cpu_ms = median(one["cpu_ms"] for one in found)
    has_bar = wire == "shm"
    every = ", ".join(f"{one:,.0f}" for one in rates)
    return Row(
        f"decode, local, emulation off, {STREAMS} streams: {wire} beside grpc",
        ratio,
        "x",
        f">= {BAR}x" if has_bar else "none: shown",
        ratio >= BAR or not has_bar,
        f"measured: {median(rates):,.0f} tokens/s, median of {every}, a cluster each; "
        f"{cpu_ms:.2f} ms of processor time a token",
    )


def main() -> int:
    parser = arguments("Tokens a second of the local cluster, over each wire.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="clusters of each wire")
    options = parser.parse_args()
    return report(run(options.rounds), options.json, "Decode by wire")


if __name__ == "__main__":
    sys.exit(main())

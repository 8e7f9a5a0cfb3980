"""10,000 tokens over links that lose, double, shuffle and corrupt: `python -m
benchmarks.wires.faults [--json FILE]`.

The demo without retrieval; on each link, both ways, 1 % loss, 1 % duplication, reordering
within 5 us (two and a half latencies) and 0.1 % corruption, at once: 400 requests of 25 tokens.
In virtual time, in one process on the wall clock, and in processes of their own over gRPC. The
tokens of the same workload without a fault, in virtual time, are what is right.

Expected before the first run: every token equal, each once, nothing held at the end, in each world.
A step has some 30 messages, so that one in four meets a loss, which its caller notices after a few
round trips: in virtual time tokens come at half the pace. On the wall no loss is noticed sooner
than after a second (`deadline_floor` in `workers/host/clock/live.py`), a dozen emulated steps and
more: many times slower there, and no token is lost.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from benchmarks.fixed import lengths, run_there
from benchmarks.rows import Row, arguments, report
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

NUM_REQUESTS, NUM_TOKENS = 400, 25
WORLDS = ("virtual", "process", "local")
FAULTS = (
    {"type": "drop", "toxicity": 0.01},
    {"type": "duplicate", "toxicity": 0.01, "attributes": {"delay": "3 us"}},
    {"type": "reorder", "attributes": {"delay": "5 us"}},
    {"type": "corrupt", "toxicity": 0.001},
)
# So slow that this machine keeps up.
DILATION = {"process": 1000, "local": 3000}


@dataclass(frozen=True)
class Outcome:
    """wrong   requests whose tokens are not the right ones, each once
    held    what the cluster holds when idle
    slower  emulated time of the median token, beside that without faults
    """

    wrong: int
    held: dict[str, int]
    num_tokens: int
    slower: float
    wall_s: float


def drawn(world: str, num_requests: int, num_tokens: int, faulty: bool) -> Blueprint:
    changes: dict[str, object] = {
        "cluster.world": world,
        "placement.collections": None,
        # Few steps: on the wall a lost message costs a second.
        "model.max_num_batched_tokens": 4096,
        **lengths(20, num_tokens),
        "workload.arrivals.closed": {"concurrency": num_requests, "num_requests": num_requests},
        "workload.sampling.ignore_eos": True,
        "faults": list(FAULTS) if faulty else [],
        # A share of it is the first guess at how long an answer takes.
        "slo.deadline": "400 ms",
    }
    if world in DILATION:
        changes["cluster.dilation"] = DILATION[world]
    return Blueprint.draw(load_scenario("demo", changes))


def outcome(world: str, num_requests: int = NUM_REQUESTS, num_tokens: int = NUM_TOKENS) -> Outcome:
    """A run with faults in `world`, against one without in virtual time."""
    right = run_there(drawn("virtual", num_requests, num_tokens, faulty=False))
    begun_s = perf_counter()
    found = run_there(drawn(world, num_requests, num_tokens, faulty=True))
    expected = {answer.request_id: answer.token_ids for answer in right.answers}
    assert len(expected) == num_requests
    assert all(len(tokens) == num_tokens for tokens in expected.values())
    told = {answer.request_id: answer.token_ids for answer in found.answers}
    return Outcome(
        wrong=sum(told.get(name) != tokens for name, tokens in expected.items()),
        held={name: count for name, count in found.held.items() if count},
        num_tokens=sum(len(tokens) for tokens in told.values()),
        slower=_median_tpot_ns(found.answers) / _median_tpot_ns(right.answers),
        wall_s=perf_counter() - begun_s,
    )


def _median_tpot_ns(answers: Sequence[Answer]) -> float:
    found = sorted(answer.tpot_ns or 0.0 for answer in answers)
    return found[len(found) // 2]


def run(worlds: Sequence[str] = WORLDS) -> list[Row]:
    rows = []
    for world in worlds:
        found = outcome(world)
        kind = "projection" if world == "virtual" else "measured"
        rows.append(
            Row(
                f"wrong requests of {NUM_REQUESTS}, 10,000 tokens over faulty links, {world}",
                found.wrong,
                "",
                "0, nothing held",
                not found.wrong
                and not found.held
                and found.num_tokens == NUM_REQUESTS * NUM_TOKENS,
                f"{kind}: {found.num_tokens:,} tokens, held {found.held or 'nothing'}, tokens take "
                f"{found.slower:.2f}x, {found.wall_s:.0f} s",
            )
        )
    return rows


def main() -> int:
    parser: argparse.ArgumentParser = arguments("Tokens over links that lose and corrupt.")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    options = parser.parse_args()
    return report(run(options.worlds), options.json, "Faulty links")


if __name__ == "__main__":
    sys.exit(main())

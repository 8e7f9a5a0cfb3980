"""The whole of Mooncake's conversation trace through a cluster that keeps its promise:
`python -m benchmarks.network.mooncake [TRACE] [--first N] [--json FILE]`.

12,031 requests of an hour, 144.8 M tokens of prompts and 4.12 M of answers, put to the scenario
`mooncake`: Llama-3.1-70B, as the paper replays it (a dummy model of that shape), by counts. The
promise is assumed, after the paper's real workload (arXiv 2407.00079), for 90 % of requests: a
first token within 30 s, and 100 ms between tokens. TRACE is `conversation_trace.jsonl` of
kvcache-ai/Mooncake, FAST25-release; without it, and where `PERFUSE_SHARED_DATA` has none, there is
nothing to run (exit code 69).

Expected before the first run. Of the cluster: an unbounded cache has 36.6 % of all blocks, so 92 M
tokens are computed, at 141 GFLOP each and 39 of attention (tokens see 15,000 others on the mean):
4.7 PFLOP/s where six chips have 10.7, so half of them work on the mean, and a prompt alone takes
1.5 s at the mean of 12,000 tokens and 19 s at the longest. TTFT p50 is 1 to 2 s, p90 below 10 s;
who comes behind a prompt of 100,000 tokens waits its 15 s. A decode step reads 141 GB of weights
at 6.2 TB/s in 23 ms, and 0.6 ms for the KV of each of 12 conversations: TPOT p50 about 30 ms.

Of the machine: 330,000 steps of decode and 15,000 of prefill, 4.12 M tokens. A step was taken for
0.5 ms (launches, reports, four messages), a token for 60 us (router, stream, client): 420 s of one
core. The bar is 10 minutes. The first 300 requests took 103 us a token, and up to 150 with 16
others at work: seconds are the process's own, and still those of a machine that is shared.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.rows import UNAVAILABLE, Row, arguments, report
from benchmarks.traces import NUM_PUBLIC, PUBLIC
from cluster.reports.summary import percentile, summarise
from cluster.runs.run import Run, run_in_virtual
from cluster.workload.build import build_workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.schema import SloSection, load_scenario

SCENARIO, BAR_S, SHARE = "mooncake", 600, 0.9
EVIDENCE = "measured: virtual world, counts, folded, one core's CPU seconds"
PROJECTION = "projection: virtual world, counts, b300-sxm and roce as shipped"


def rows(trace: Path, first: int | None) -> Iterator[Row]:
    """Of the whole trace, or of its first requests; the bars are the whole one's."""
    changes = {
        "workload.arrivals.trace.path": str(trace.absolute()),
        "workload.arrivals.trace.num_requests": first,
    }
    blueprint = Blueprint.draw(load_scenario(SCENARIO, changes))
    begun_s = time.process_time()
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    run = run_in_virtual(blueprint, workload, lambda _: None)
    took_s = time.process_time() - begun_s
    count, slo = len(run.answers), blueprint.scenario.slo
    what = f"Mooncake's conversations, {count:,} requests"
    yield Row(f"{what}: time", took_s, "s", f"<= {BAR_S} s", took_s <= BAR_S, EVIDENCE)
    yield Row(f"{what}: emulated requests", count / took_s, "/s", "shown", True, EVIDENCE)
    yield from _of_users(what, run, slo)


def _of_users(what: str, run: Run, slo: SloSection) -> Iterator[Row]:
    told = summarise(run.answers, slo)
    answered = told.num_requests - told.num_failed
    yield Row(
        f"{what}: answered", answered, "", f"= {told.num_requests}", not told.num_failed, PROJECTION
    )
    ttfts, tpots = (
        _seconds(a.ttft_ns for a in run.answers),
        _seconds(a.tpot_ns for a in run.answers),
    )
    for name, seconds, bar_ns in (("TTFT", ttfts, slo.ttft_ns), ("TPOT", tpots, slo.tpot_ns)):
        assert bar_ns is not None, "the scenario promises both"
        for share in (0.5, SHARE, 0.99):
            value, is_bar = percentile(seconds, share), share == SHARE
            bar = f"<= {bar_ns / 1e9:g} s" if is_bar else "shown"
            holds = not is_bar or value <= bar_ns / 1e9
            yield Row(f"{what}: {name} p{share * 100:.0f}", value, "s", bar, holds, PROJECTION)
    kept = sum(_is_kept(answer, slo) for answer in run.answers) / told.num_requests
    yield Row(f"{what}: within both", kept, "", f">= {SHARE}", kept >= SHARE, PROJECTION)
    assert told.goodput_per_s is not None, "the scenario promises both"
    yield Row(f"{what}: goodput", told.goodput_per_s, "requests/s", "shown", True, PROJECTION)


def _seconds(times_ns: Iterator[float | None]) -> Sequence[float]:
    return sorted(ns / 1e9 for ns in times_ns if ns is not None)


def _is_kept(answer: Answer, slo: SloSection) -> bool:
    assert slo.ttft_ns is not None and slo.tpot_ns is not None, "the scenario promises both"
    return (
        answer.ttft_ns is not None
        and answer.ttft_ns <= slo.ttft_ns
        and (answer.tpot_ns or 0) <= slo.tpot_ns
    )


def main() -> int:
    parser = arguments("A whole recorded hour, by counts.")
    parser.add_argument("trace", nargs="?", type=Path, default=PUBLIC, help="Mooncake's trace")
    parser.add_argument("--first", type=int, metavar="N", help=f"requests, of {NUM_PUBLIC:,}")
    chosen = parser.parse_args()
    if not chosen.trace.exists():
        print(
            f"{chosen.trace} is not there: name Mooncake's conversation_trace.jsonl",
            file=sys.stderr,
        )
        return UNAVAILABLE
    return report(list(rows(chosen.trace, chosen.first)), chosen.json, "Mooncake's hour")


if __name__ == "__main__":
    sys.exit(main())

"""Experts in flash, read ahead as the gate of the layer before predicts.

One stream on the demo's chips, experts of `perfuse-tiny` in H3's flash (8 TB/s, 20 us a read) on
four shards. It has 4 layers, of 8 experts each of which a token visits 2.

Expected before the first run. The same tokens. Without reading ahead each layer waits once for the
flash: 20 us more than from HBM. The first layer is never guessed. In the other three both of a
token's experts must be guessed, or it waits all the same: with a guess that is right in r of all
cases, r x r of 60 us are hidden as far as they pass between the hint and the tokens: an attention
launch and two messages, some 12 us of 20. A gate knows little of the rows of the layer before in a
model of four layers: r of 0.6 to 0.8, so 10 to 25 us of some 80 a token; by chance r is 0.25.

The first run hid 32 us of 80 (127.5 to 95.3, and 47.9 from HBM): r was 0.9, and r x r x 3 x 12
is 29.
What was guessed wrongly stays, so a large buffer becomes a cache of a small model: hence the buffer
whose half holds the two experts that a token visits, where r is the same.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.rows import Row
from benchmarks.runs import questions, run_in_virtual
from cluster.runs.run import Run
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

NUM_QUESTIONS = 40
LATENCIES_US = (1, 5, 20)
H3, SMALL = "320 MB", "384 KiB"
HOW = f"projection: demo's chips in the virtual world, perfuse-tiny, {NUM_QUESTIONS} questions"


def measured(latency_us: int, where: str, is_ahead: bool, buffer: str = H3) -> Run:
    device: Mapping[str, Any] = {
        "base": "b200-h3", "tiers": {"hbf": {"read_latency": f"{latency_us} us", "buffer": buffer}},
    }  # fmt: skip
    changes = {
        "cluster.nodes.experts.device": device,
        "placement.experts_tier": where,
        "placement.experts_prefetch": is_ahead,
        "placement.kv_pool": False,
        "placement.collections": None,
        "workload.prompts.questions.retrieval": None,
        "workload.arrivals": {"closed": {"concurrency": 1, "num_requests": NUM_QUESTIONS}},
    }
    blueprint = Blueprint.draw(load_scenario("demo", changes))
    return run_in_virtual(blueprint, questions(blueprint), f"experts in {where}, {latency_us} us")


def tpot_us(run: Run) -> float:
    """Of all tokens after the first."""
    spent = [(a.tpot_ns, len(a.token_ids) - 1) for a in run.answers if a.tpot_ns is not None]
    return sum(ns * count for ns, count in spent) / sum(count for _, count in spent) / 1e3


def run() -> Iterator[Row]:
    for latency_us in LATENCIES_US:
        hbm = measured(latency_us, "hbm", is_ahead=False)
        flash = measured(latency_us, "hbf", is_ahead=False)
        for buffer in (H3,) if latency_us < LATENCIES_US[-1] else (H3, SMALL):
            ahead = measured(latency_us, "hbf", is_ahead=True, buffer=buffer)
            name = f"experts in flash of {latency_us} us, buffer of {buffer}, read ahead"
            yield from rows_of(name, hbm, flash, ahead)


def rows_of(name: str, hbm: Run, flash: Run, ahead: Run) -> Iterator[Row]:
    pairs = list(zip(ahead.answers, hbm.answers, strict=True))
    differ = sum(a.token_ids != b.token_ids or not a.token_ids for a, b in pairs)
    yield Row(f"{name}: answers that differ from HBM's", differ, "", "0", not differ,
              f"measured: {len(pairs)} answers")  # fmt: skip
    slow, fast, best = tpot_us(flash), tpot_us(ahead), tpot_us(hbm)
    yield Row(
        f"{name}: TPOT beside not reading ahead", fast / slow, "x", "< 1 x", fast < slow,
        f"{HOW}; {fast:.1f} and {slow:.1f} us; from HBM {best:.1f}",
    )  # fmt: skip
    counts = ahead.counts
    hits, misses = counts["prefetch_hits"], counts["prefetch_misses"]
    yield Row(
        f"{name}: experts that were there or on their way", 100 * hits / (hits + misses), "%",
        "above chance, 25 % of 3 layers of 4: 19 %", hits > 0.1875 * (hits + misses),
        f"{HOW}; {hits:,} of {hits + misses:,}; {counts['prefetch_read_bytes'] / 1e6:.1f} MB read "
        f"ahead, {counts['prefetch_wasted_bytes'] / 1e6:.1f} of it thrown away unused, "
        f"{counts['prefetch_no_room']:,} hints without room",
    )  # fmt: skip
    joules = [sum(told["machine"] for told in r.joules.values()) for r in (ahead, flash)]
    yield Row(
        f"{name}: energy of machines beside not reading ahead", joules[0] / joules[1], "x",
        "shown only", True, f"{HOW}; idle power left out",
    )  # fmt: skip

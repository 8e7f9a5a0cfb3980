"""What messages cost: reports stream, only what is lost goes twice, large answers survive a loss.

Expected values, by hand:

    single, chip's link 100 us   a request crosses it once each way: TTFT 38.4 + 2 x 98 = 234.4 us,
                                 TPOT 30 us as with 2 us
    demo, gateway's link 1 ms    TTFT 2 x 998 us more; TPOT as with 2 us
    KV of 900 tokens             57 blocks of 16 x 4,096 bytes, 3.74 MB: over 12.5 GB/s 299 us, over
                                 1 GB/s 3,736; three latencies of 10 us, two launches and HBM 9 us
    dispatches 5 ms late, 30 %   one shard, 4 layers: 4 x 0.3 x 5 = 6 ms a token
"""

from collections.abc import Iterator, Mapping
from statistics import mean, median
from typing import Any

from benchmarks.fixed import lengths
from benchmarks.laws._answers import lost_answer
from benchmarks.laws._sent import run_watched
from benchmarks.rows import Row
from cluster.workload.driver import Answer
from configs.schema import load_scenario

EVIDENCE = "projection: virtual world"
PLAIN = {"placement.collections": None, "workload.prompts.questions.retrieval": None}
CONCURRENCIES = (1, 8, 64, 256)
LINKS = (("1 us", "0.1 GB/s"), ("2 us", "450 GB/s"), ("100 us", "1 GB/s"), ("1 ms", "100 GB/s"))
NODES = ("prefill", "decode", "experts", "router", "gateway")


def rows(seed: int) -> Iterator[Row]:
    yield from _streams(seed)
    yield from _bytes(seed)
    yield _delay(seed)
    yield from _twice(seed)
    yield from map(lost_answer, (1, 8, 64))


def closed(num_requests: int, concurrency: int = 1) -> Mapping[str, Any]:
    arrivals = {"closed": {"concurrency": concurrency, "num_requests": num_requests}}
    return {"workload.arrivals": arrivals}


def _run(base: str, seed: int, *changes: Mapping[str, Any]) -> tuple[list[Answer], dict[str, int]]:
    """Answers, and kinds of which messages were sent again."""
    overrides = {key: value for change in changes for key, value in change.items()}
    run, sent = run_watched(load_scenario(base, {"seed": seed, **overrides}))
    return run.answers, sent.twice()


def _near(name: str, value: float, unit: str, expected: float, share: float = 0.02) -> Row:
    bar = f"{expected:,.1f} within {share:.0%}"
    return Row(name, value, unit, bar, abs(value - expected) <= share * expected, EVIDENCE)


def _times_us(answers: list[Answer]) -> tuple[float, float]:
    """Median TTFT and TPOT."""
    ttft_ns = median(answer.ttft_ns or 0 for answer in answers)
    return ttft_ns / 1e3, median(answer.tpot_ns or 0 for answer in answers) / 1e3


def _streams(seed: int) -> Iterator[Row]:
    for base, node, far_us in (("single", "chip", 100), ("single", "chip", 1_000),
                               ("demo", "gateway", 1_000)):  # fmt: skip
        plain: Mapping[str, Any] = PLAIN if base == "demo" else {}
        far = {f"cluster.nodes.{node}.link.latency": f"{far_us} us"}
        near_ttft_us, near_tpot_us = _times_us(_run(base, seed, plain, closed(6))[0])
        ttft_us, tpot_us = _times_us(_run(base, seed, plain, closed(6), far)[0])
        name = f"{base}, {node}'s link at {far_us} us"
        yield _near(f"{name}: TTFT", ttft_us, "us", near_ttft_us + 2 * (far_us - 2))
        yield _near(f"{name}: TPOT", tpot_us, "us", near_tpot_us)


def _bytes(seed: int) -> Iterator[Row]:
    """A prompt of 900 tokens after small ones."""
    for bandwidth, path_us in (("12.5 GB/s", 299.0), ("1 GB/s", 3_736.0)):
        link = {"name": "x", "latency": "10 us", "bandwidth": bandwidth}
        changes = {
            **PLAIN,
            **lengths(900, 4),
            "model.max_num_batched_tokens": 1_024,
            "placement.kv_pool": False,
            **{f"cluster.nodes.{node}.link": link for node in ("prefill", "decode")},
        }
        few = {"uniform": {"low": 16, "high": 900}}
        mixed = {"synthetic": {"input_length": few, "output_length": {"fixed": 4}}}
        alone, _ = _run("demo", seed, changes, closed(1))
        transfer_us = alone[0].times_ns["kv_transfer"] / 1e3
        yield _near(f"KV of 900 tokens over {bandwidth}", transfer_us, "us", path_us + 39)
        several, twice = _run("demo", seed, changes, closed(12), {"workload.prompts": mixed})
        yield _none(f"12 prompts of 16 to 900 tokens over {bandwidth}", twice, len(several))


def _delay(seed: int) -> Row:
    late = {"type": "latency", "kind": "dispatch", "toxicity": 0.3}
    answers, _ = _run(
        "demo",
        seed,
        PLAIN,
        closed(20),
        lengths(16, 9),
        {"cluster.nodes.experts.count": 1, "placement.kv_pool": False, "slo.deadline": "10 s"},
        {"faults": [{**late, "attributes": {"latency": "5 ms"}}]},
    )
    tpot_ms = mean(answer.tpot_ns or 0 for answer in answers) / 1e6
    return _near("30 % of dispatches 5 ms late: TPOT", tpot_ms, "ms", 6, share=0.15)


def _none(name: str, twice: Mapping[str, int], num_answers: int) -> Row:
    again = sum(twice.values())
    evidence = f"{EVIDENCE}; {num_answers} answers"
    return Row(f"{name}: sent twice", again, "messages", "0", not again, evidence)


def _twice(seed: int) -> Iterator[Row]:
    for concurrency in CONCURRENCIES:
        answers, twice = _run("demo", seed, PLAIN, closed(concurrency + 16, concurrency))
        yield _none(f"demo, {concurrency} users", twice, len(answers))
    for latency, bandwidth in LINKS:
        link = {"name": "x", "latency": latency, "bandwidth": bandwidth}
        links = {f"cluster.nodes.{node}.link": link for node in NODES}
        answers, twice = _run("demo", seed, PLAIN, closed(24, 8), links, {"slo.deadline": "10 s"})
        yield _none(f"demo, 8 users, links of {latency} and {bandwidth}", twice, len(answers))

"""Emulated times beside hand arithmetic (`_arithmetic`), over links from 1 us to 1 ms and 0.1 to
100 GB/s.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.laws._arithmetic.model import Model
from benchmarks.laws._arithmetic.shipped import MODEL_FOLDER, cluster_of, expected
from benchmarks.rows import Row
from cluster.runs.run import run_traced
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from workers.host.trace import Delivered
from workers.wire.message import Message

LATENCIES = ("1 us", "10 us", "100 us", "1 ms")
BANDWIDTHS = ("0.1 GB/s", "1 GB/s", "10 GB/s", "100 GB/s")
# A demo's second request finds parts of its prompt in several caches: the first does not.
REQUESTS = {"single": 2, "demo": 1}
ERROR_MAX = 0.02
# Short prompts and long ones: messages of very different sizes.
LENGTHS = {
    "input_length": {"lognormal": {"median": 40, "sigma": 1.6, "high": 900}},
    "output_length": {"uniform": {"low": 1, "high": 20}},
}


@dataclass(frozen=True)
class Cell:
    """One scenario on one link. errors: figure -> how far off, at most, as a share of the hand's;
    again: kinds of which more were sent than the path has.
    """

    link: str
    errors: dict[str, float]
    again: tuple[str, ...]


def measure(name: str, latency: str, bandwidth: str, model: Model, seed: int) -> Cell:
    closed = {"concurrency": 1, "num_requests": REQUESTS[name]}
    changes: dict[str, object] = {"seed": seed, "workload.arrivals": {"closed": closed}}
    for group in load_scenario(name, {}).cluster.nodes:
        changes[f"cluster.nodes.{group}.link.latency"] = latency
        changes[f"cluster.nodes.{group}.link.bandwidth"] = bandwidth
    scenario = load_scenario(name, {**changes, "slo.deadline": "1000 s"})
    blueprint = Blueprint.draw(scenario)
    workload = build_workload(scenario, blueprint.model.vocab)
    run, records = run_traced(blueprint, workload)
    cluster = cluster_of(scenario, model)
    errors: dict[str, float] = {}
    messages: Counter[str] = Counter()
    for timed, answer in zip(workload.requests, run.answers, strict=True):
        times = expected(scenario, cluster, timed, answer)
        assert answer.ttft_ns is not None and answer.tpot_ns is not None, answer.error
        seen = {"TTFT": answer.ttft_ns, "TPOT": answer.tpot_ns, "end to end": answer.e2e_ns}
        right = {"TTFT": times.ttft_ns, "TPOT": times.tpot_ns, "end to end": times.e2e_ns}
        for figure, value in seen.items():
            error = value / right[figure] - 1
            errors[figure] = max(errors.get(figure, 0.0), error, key=abs)
        messages += times.messages
    sent = Counter(r.kind for r in records if isinstance(r, Delivered))
    again = tuple(kind for kind, count in messages.items() if sent[kind] > count)
    return Cell(f"{latency}, {bandwidth}", errors, again)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Which kinds are sent once more meanwhile, and how often."""
    found: Counter[str] = Counter()
    again = Message.again

    def once_more(self: Message[Any]) -> Message[Any]:
        found[self.kind] += 1
        return again(self)

    Message.again = once_more  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Message.again = again  # type: ignore[method-assign]


def repeated(concurrency: int, link: str, seed: int) -> Row:
    """Nothing is lost, so nothing is sent twice, however long it takes."""
    changes: dict[str, object] = {
        "seed": seed,
        "workload.arrivals": {"closed": {"concurrency": concurrency, "num_requests": 24}},
        "workload.prompts": {"synthetic": LENGTHS},
        "placement.collections": None,
        "model.max_num_batched_tokens": 1024,
        "slo.deadline": "1000 s",
    }
    groups = load_scenario("demo", {}).cluster.nodes
    changes |= {f"cluster.nodes.{group}.link": link for group in groups}
    scenario = load_scenario("demo", changes)
    blueprint = Blueprint.draw(scenario)
    with counted() as again:
        run_traced(blueprint, build_workload(scenario, blueprint.model.vocab))
    return Row(
        f"demo on {link}, {concurrency} at once: messages sent twice",
        ", ".join(f"{count} {kind}" for kind, count in again.items()) or "none",
        "",
        "none",
        not again,
        "measured: 24 requests, no faults",
    )


def rows(seed: int) -> Iterator[Row]:
    model = Model(MODEL_FOLDER)
    for name in REQUESTS:
        cells = [
            measure(name, latency, bandwidth, model, seed)
            for latency in LATENCIES
            for bandwidth in BANDWIDTHS
        ]
        evidence = f"measured: {len(cells)} links beside arithmetic from the specification"
        for figure in ("TTFT", "TPOT", "end to end"):
            worst = max(cells, key=lambda cell: abs(cell.errors[figure]))
            error = worst.errors[figure]
            num_off = sum(abs(cell.errors[figure]) > ERROR_MAX for cell in cells)
            yield Row(
                f"{name} at concurrency 1, {figure}: farthest from hand arithmetic",
                100 * error,
                "%",
                "within 2 %",
                not num_off,
                f"{evidence}; {num_off} off, the worst at {worst.link}",
            )
        again = sorted({kind for cell in cells for kind in cell.again})
        yield Row(
            f"{name} at concurrency 1: kinds of messages sent twice",
            ", ".join(again) or "none",
            "",
            "none",
            not again,
            evidence,
        )
    for link in ("lowlat-2us", "ethernet-100g"):
        for concurrency in (1, 24):
            yield repeated(concurrency, link, seed)

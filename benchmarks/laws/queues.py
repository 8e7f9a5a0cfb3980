"""Queues are the cluster's: from when a clock runs, what a full one does, and where time went."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.random_models import qwen3_moe, save_random_model
from benchmarks.rows import Row
from cluster.reports.summary import summarise
from cluster.runs.run import Run, run_in_virtual
from cluster.workload.build import TimedRequest, Workload, build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

SECOND_NS = 1_000_000_000
# A chip of 0.8 x 1 GFLOP/s does 162 prompts of 4 tokens a second, four at a time.
SERVED_PER_S = 162.0
SLOW_CHIP: Mapping[str, object] = {
    "cluster.nodes.chip.device": {"base": "h100-sxm", "compute": {"fp32": "1 GFLOP/s"}},
    "model.max_num_seqs": 4,
    "workload.prompts": {
        "synthetic": {"input_length": {"fixed": 4}, "output_length": {"fixed": 1}}
    },
    "slo.deadline": "1000 s",
    "slo.admission.max_queue": 100_000,
}
# Chunks of a token each, while a step takes some 15 us: all but a few wait for the link.
CHUNKS = 1_200
SLOW_KV: Mapping[str, object] = {
    "placement.kv_pool": False,
    "placement.collections": None,
    "cluster.nodes.decode.link.bandwidth": "1 MB/s",
    "cluster.nodes.experts.count": 1,
    "model.block_size": 1,
    "model.max_num_seqs": 1,
    "model.max_num_batched_tokens": 1,
    "model.max_model_len": CHUNKS + 8,
    "workload.arrivals": {"closed": {"concurrency": 1, "num_requests": 1}},
    "workload.prompts": {
        "synthetic": {"input_length": {"fixed": CHUNKS}, "output_length": {"fixed": 2}}
    },
    "slo.deadline": "1000 s",
}
ALONE: Mapping[str, object] = {
    "placement.kv_pool": False,
    "placement.collections": None,
    "model.enable_prefix_caching": False,
    "model.max_num_batched_tokens": 1024,
    "workload.arrivals": {"closed": {"concurrency": 1, "num_requests": 12}},
    "workload.prompts": {
        "synthetic": {
            "input_length": {"lognormal": {"median": 40, "sigma": 1.6, "high": 900}},
            "output_length": {"uniform": {"low": 1, "high": 40}},
        }
    },
}
LINKS = ("lowlat-2us", "ethernet-100g")


def drawn(name: str, changes: Mapping[str, object], seed: int) -> tuple[Blueprint, Workload]:
    blueprint = Blueprint.draw(load_scenario(name, {"seed": seed, **changes}))
    return blueprint, build_workload(blueprint.scenario, blueprint.model.vocab)


def ran(blueprint: Blueprint, workload: Workload) -> Run:
    return run_in_virtual(blueprint, workload, lambda answer: None)


def rows(seed: int) -> Iterator[Row]:
    yield from arrivals(seed)
    yield chunks(seed)
    yield adding_up(seed)
    for link in LINKS:
        yield alone(link, seed)


def arrivals(seed: int) -> Iterator[Row]:
    """All at once, however many, and whoever says when."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.jsonl"
        line = json.dumps({"timestamp": 0, "input_length": 4, "output_length": 1})
        trace.write_text(f"{line}\n" * 5_000)
        kinds: dict[str, tuple[int, dict[str, Any]]] = {
            "poisson": (6_000, {"rate_per_s": 1e9, "num_requests": 6_000}),
            "trace": (5_000, {"format": "mooncake", "path": str(trace)}),
        }
        for kind, (count, how) in kinds.items():
            changes = {**SLOW_CHIP, "workload.arrivals": {kind: how}}
            p99_s = summarise(ran(*drawn("single", changes, seed)).answers).ttft_us_p99 * 1e-6
            right_s = 0.99 * count / SERVED_PER_S
            yield Row(
                f"TTFT p99 of {count:,} arrivals at once ({kind})",
                p99_s,
                "s",
                f"{right_s:.1f} s within 1 %",
                abs(p99_s / right_s - 1) < 0.01,
                "measured: 162 a second are served, one after the other",
            )


def chunks(seed: int) -> Row:
    """Of a model whose context is long enough; random weights."""
    config = qwen3_moe(seed)
    config.max_position_embeddings, config.num_hidden_layers = 2 * CHUNKS, 1
    with tempfile.TemporaryDirectory() as folder:
        save_random_model(config, seed, Path(folder), shards=False)
        run = ran(*drawn("demo", {**SLOW_KV, "model.path": folder}, seed))
    waited = run.queues["prefill-0"]["KV chunks of prefill-0"]
    (answer,) = run.answers
    return Row(
        f"a prompt of {CHUNKS:,} chunks on a KV link of 1 MB/s: chunks that waited at once",
        waited if answer.finish_reason == "length" else f"ended: {answer.error}",
        "",
        "> 1,024, and an answer",
        waited > 1_024 and answer.finish_reason == "length" and not any(run.held.values()),
        "measured: virtual world; the queue's length is in the report",
    )


def adding_up(seed: int) -> Row:
    changes = {"workload.arrivals": {"poisson": {"rate_per_s": 20_000, "num_requests": 64}}}
    answers = ran(*drawn("poisson", changes, seed)).answers
    off = [
        answer.request_id
        for answer in answers
        if sum(answer.phases_ns.values()) != answer.e2e_ns or min(answer.phases_ns.values()) < 0
    ]
    return Row(
        "requests whose phases, delivery included, do not add up or are negative",
        len(off),
        "",
        "0 of 64",
        not off,
        "measured: 'poisson' at 20,000 requests a second",
    )


def alone(link: str, seed: int) -> Row:
    """A second apart, and each in a cluster of its own. The shorter half first,
    then from the longest on: what was learnt of small messages must not be believed of large ones.
    """
    groups = load_scenario("demo", {}).cluster.nodes
    links = {f"cluster.nodes.{group}.link": link for group in groups}
    blueprint, workload = drawn("demo", {**ALONE, **links}, seed)
    rising = sorted(workload.requests, key=lambda timed: len(timed.request.prompt_ids))
    half = len(rising) // 2
    ordered = [*rising[:half], *reversed(rising[half:])]
    apart = tuple(replace(timed, at_ns=index * SECOND_NS) for index, timed in enumerate(ordered))
    together = ran(blueprint, Workload(apart)).answers
    by_itself = [_single(blueprint, timed) for timed in ordered]
    other = [
        answer.request_id
        for answer, one in zip(together, by_itself, strict=True)
        if answer.phases_ns != one or answer.error
    ]
    return Row(
        f"requests a second apart on {link} whose phases are not those of the same alone",
        ", ".join(other) or "none",
        "",
        f"none of {len(together)}",
        not other,
        "measured: random lengths, short ones first; prefix caching off; equal to the nanosecond",
    )


def _single(blueprint: Blueprint, timed: TimedRequest) -> dict[str, int]:
    (answer,) = ran(blueprint, Workload((timed,))).answers
    return answer.phases_ns

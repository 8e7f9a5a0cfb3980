"""DeepSeek's bound on decoding with expert parallelism, from a run of `ep-bound.yaml`.

    python -m benchmarks.network --only ep_bound

"Insights into DeepSeek-V3" (ISCA 2025, arXiv 2505.09343) reckons

    dispatch and combine of a micro-batch   (1 + 2) B x 32 x 9 x 7,000 / 50 GB/s = 120.96 us
    61 layers of two micro-batches          61 x 2 x 120.96 us = 14.76 ms
    the same at 900 GB/s                    6.72 us, 0.82 ms

Nothing here is a formula: tokens are dispatched, computed and combined, message by message, by ten
devices that hold a chip and an expert each, and the time is that between two tokens of an answer.

Expected, written before the first run: while the link is full a layer takes what its bytes take,
each way, as dispatch and combine of both micro-batches leave every device. It is not full at the
two ends of a step: the first dispatch waits for nothing and its answers leave when it has come
(40 us of 14.76 ms), and the last combine has nobody behind it. So the run takes longer than the
bound by a third of a per cent or so, and never less.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks.rows import Row
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

LAYERS, MICRO_BATCHES = 61, 2
BAR = 0.01
# scenario -> microseconds of a micro-batch, milliseconds of a step, as published
PUBLISHED = {"ep-bound": (120.96, 14.76), "ep-bound-nvl72": (6.72, 0.82)}


def step_ns(scenario: str) -> float:
    """Between two tokens, the median over all answers but for their first and last gaps: then every
    device has its 64 sequences.
    """
    blueprint = Blueprint.draw(load_scenario(scenario))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    run = run_in_virtual(blueprint, workload, lambda _: None)
    assert not any(answer.error for answer in run.answers), "every request is answered"
    gaps = np.array([np.diff(answer.token_ns)[1:-1] for answer in run.answers])
    return float(np.median(gaps))


def rows_of(scenario: str, took_ns: float) -> Iterator[Row]:
    micro_us, step_ms = PUBLISHED[scenario]
    how = "projection: virtual world, digests, the time between two tokens of an answer"
    took_us = took_ns / 1e3 / LAYERS / MICRO_BATCHES
    took_ms = took_ns / 1e6
    for what, value, unit, wanted in (
        ("dispatch and combine of a micro-batch", took_us, "us", micro_us),
        ("a token, 61 layers of two micro-batches", took_ms, "ms", step_ms),
    ):
        is_near = abs(value / wanted - 1) <= BAR
        yield Row(f"{scenario}: {what}", value, unit, f"{wanted} {unit} +- 1 %", is_near, how)


def run() -> list[Row]:
    return [row for scenario in PUBLISHED for row in rows_of(scenario, step_ns(scenario))]

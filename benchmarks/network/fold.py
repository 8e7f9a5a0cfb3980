"""Clusters that are folded, beside the same message by message; and how fast a large one goes.

    python -m benchmarks.network --only fold

**Random small clusters** (`_fold_clusters`): 2 to 8 chips beside 2 to 8 shards, with skew, a
straggler, unequal batches and arrivals. Every answer must be the same to the token, and TTFT and
TPOT, p50 and p99 of a cluster's requests, within 1 % of those message by message.

Expected before the first run: texts equal, as digests hang on no time. Times equal to the
nanosecond where nothing but steps crosses a chip's link and uses its memory, since the engine
keeps the same queues by the same rules. Where KV goes from chip to chip it differs: an unfolded
message waits for KV on the same link, a folded one does not. A prompt of 100 tokens has some 100 KB
to 1 MB in these models: 1 to 10 us of a link, beside steps of 50 us and more, once a request; so
within 1 % of TTFT, and less of TPOT, but where a slow link carries long prompts.

What came out: where prompts leave for other chips, reading their KV waits for the weights that the
next step reads from the same memory, some 40 us: up to 38 % of the TPOT of short answers. With that
for a chip's first launch of a stretch, 31 of 50 clusters were equal to the ns and 43 within 1 %;
with KV on the same lanes and in the same queues as every step, 42 and 49; with what a step sampled
told as it ends, and not up to eight steps later, all 50 are equal to the ns.

**DeepSeek-V3**, `deepseek-ep320`: 320 chips x 32 tokens beside 32 shards. Expected before the first
run: 1.2 million envelopes would take 47 s. Folded, the engine takes 30 ms (given choices); digests
of 10,240 tokens x 58 layers x 8 experts 4.75 million mixed numbers at 10 ns and as much for 64
layers of attention, gate and choice, 0.3 s; router, gateway and chips 20 us a token told alone, 8
told together 5 us: 50 ms. So 2 to 3 steps/s, and digests are what limits. With counts there are
none: the engine draws choices (13 ms a step), and what is done once a stretch of up to 512 steps is
spread over them: 10,240 sequences x 0.3 ms of router, gateway and chips, 6 ms a step. 50 steps/s.

What a step sampled is told with its stretch there (`cluster.fold_tells`): told as each step ends it
is 10,240 tokens a step that pass router and gateway, and half as fast.

What came out, on two cores of an EPYC with nothing beside it: 3.0 steps/s with digests, nine tenths
of it numpy's calls; with counts 33.7: of 30 ms 11 are the engine's, and what is done once a stretch
or step for each of 320 chips and 10,240 sequences takes three times what was expected.

Seconds are the process's own. Standing up and prompts are left out: what is timed is from when the
last sequence has its second token to when the first has its last but one.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.network._fold_clusters import folded_cluster
from benchmarks.network._fold_speed import decoding
from benchmarks.rows import Row
from cluster.runs.run import Run, run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

NUM_CLUSTERS = 50
WITHIN = 0.01
EVIDENCE = "measured: virtual world, digests, random clusters"
QUANTILES = (50, 99)
Figures = dict[str, float]


def ran(path: Path, fold: str) -> Run:
    blueprint = Blueprint.draw(load_scenario(path, {"cluster.fold": fold}))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    return run_in_virtual(blueprint, workload, lambda _: None)


def figures(run: Run) -> Figures:
    """TTFT and TPOT of a run, ns."""
    ttfts = [answer.ttft_ns for answer in run.answers if answer.ttft_ns is not None]
    tpots = [answer.tpot_ns for answer in run.answers if answer.tpot_ns is not None]
    return {
        f"{name} p{q}": float(np.percentile(np.array(values, dtype=float), q))
        for name, values in (("TTFT", ttfts), ("TPOT", tpots))
        for q in QUANTILES
        if values
    }


def compared(number: int, folder: Path) -> tuple[bool, Figures]:
    """Whether all texts are the same, and by what share each figure is off."""
    scenario = folded_cluster(number, folder)
    path = folder / f"{scenario['name']}.yaml"
    path.write_text(json.dumps(scenario))  # JSON is YAML
    folded, apart = ran(path, "on"), ran(path, "off")
    texts = ([a.token_ids for a in run.answers] for run in (folded, apart))
    errors = [answer.error for run in (folded, apart) for answer in run.answers if answer.error]
    same = next(texts) == next(texts) and not errors
    ours, theirs = figures(folded), figures(apart)
    return same, {name: abs(ours[name] / theirs[name] - 1) for name in theirs}


def random_clusters(num_clusters: int = NUM_CLUSTERS) -> Iterator[Row]:
    worst: Figures = {}
    same = exact = near = 0
    with TemporaryDirectory() as name:
        for number in range(num_clusters):
            is_same, off = compared(number, Path(name))
            same, furthest = same + is_same, max(off.values())
            exact, near = exact + (furthest < 1e-6), near + (furthest <= WITHIN)
            worst = {key: max(worst.get(key, 0.0), value) for key, value in off.items()} | {
                key: value for key, value in worst.items() if key not in off
            }
    yield Row(
        "folded beside unfolded: clusters with all texts equal", same, "",
        f"{num_clusters} of {num_clusters}", same == num_clusters, EVIDENCE,
    )  # fmt: skip
    yield from _rows(worst)
    yield Row("the same: clusters equal to 1 in a million", exact, "", "shown", True, EVIDENCE)
    yield Row(
        "the same: clusters within 1 %", near, "", f"{num_clusters} of {num_clusters}",
        near == num_clusters, EVIDENCE,
    )  # fmt: skip


def _rows(worst: Mapping[str, float]) -> Iterator[Row]:
    for name, off in sorted(worst.items()):
        bar = f"<= {WITHIN:.0%}"
        yield Row(f"the same: {name}, furthest off", off * 100, "%", bar, off <= WITHIN, EVIDENCE)


# Numerics -> tokens of an answer, and the bar in steps a second.
LARGE = {"digest": (44, 2), "counts": (600, 50)}


def large() -> Iterator[Row]:
    name = "DeepSeek-V3, folded, 320 chips x 32 tokens, 32 shards"
    for numerics, (tokens, bar) in LARGE.items():
        length = {"workload.prompts.synthetic.output_length": {"fixed": tokens}}
        speed = decoding({"model.numerics": numerics, **length})
        rate, told = (
            speed.steps_per_s,
            f"measured: virtual world, {numerics}, one core's CPU seconds",
        )
        yield Row(f"{name}: steps, {numerics}", rate, "/s", f">= {bar}/s", rate >= bar, told)
        yield Row("the same: a step, emulated", speed.step_ns / 1e6, "ms", "shown", True, told)


def run() -> Iterator[Row]:
    yield from random_clusters()
    yield from large()

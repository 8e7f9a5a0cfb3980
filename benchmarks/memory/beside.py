"""High Bandwidth Flash and processing near memory in one scenario, local beside virtual.

`h3`, chips whose weights and experts lie in flash behind their HBM, with a memory server that
searches beside LPDDR5X as well. Expected before the first run: the main job's bar, 15 % of both
medians, as paced waits hide what this machine takes: a step of these chips waits for flash in each
layer, some 20 us, which is 120 ms of wall time at a dilation of 6,000. Tokens are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.rows import Row
from benchmarks.runs import LOCAL, questions, run_in_virtual
from benchmarks.worlds import beside, run_live
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

NUM_REQUESTS = 100
NEAR_MEMORY = {"workers": ["memory"], "count": 1, "device": "pnm-cxl", "link": "cxl"}


def drawn(changes: Mapping[str, object]) -> Blueprint:
    closed = {"closed": {"concurrency": 8, "num_requests": NUM_REQUESTS}}
    both = {"cluster.nodes.pnm": NEAR_MEMORY, "workload.arrivals": closed}
    return Blueprint.draw(load_scenario("h3", {**both, **changes}))


def rows() -> Sequence[Row]:
    alone = drawn({})
    virtual = run_in_virtual(alone, questions(alone), "virtual world").answers
    blueprint = drawn(dict(LOCAL))
    answers, lateness = run_live(blueprint)
    found = beside(answers, lateness, virtual, blueprint.scenario.cluster.dilation)
    return [replace(row, name=f"flash and near memory: {row.name}") for row in found]

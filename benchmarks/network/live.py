"""A torus and a chip of two ranks in the local world, beside the virtual one:

    python -m benchmarks.network --only live

`torus-tp2` at twice the demo's dilation: nodes are processes, and share the torus' links through
one segment. Expected before the first run of 100 questions: the main job's bar, medians of TTFT and
TPOT within 15 % and at most 5 % of overruns. Emulated time does not depend on how late a host is (a
message gets the place on its links that its time gives it); what users see on the wall is later by
the last waits before a token, some milliseconds, less than a microsecond emulated: 1 % of a token.
Who is served first depends on who is there first, so messages are not the same ones in both worlds;
bytes x links should still agree within a few percent, as whatever is computed is. And in both
worlds the two hands that count agree.
"""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.rows import Row
from benchmarks.runs import LOCAL, counted, questions, run_in_virtual, standing
from benchmarks.worlds import NUM_REQUESTS, beside
from cluster.reports.network import network_figures, not_conserved
from cluster.runs.run import Run, run_in
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

SCENARIO = "torus-tp2"
BYTES_BAR = 5  # %


def drawn(changes: dict[str, object]) -> Blueprint:
    count = {"workload.arrivals.closed.num_requests": NUM_REQUESTS}
    return Blueprint.draw(load_scenario(SCENARIO, {**count, **changes}))


def run_live(blueprint: Blueprint) -> Run:
    workload = questions(blueprint)
    with (
        counted("local world", len(workload.requests)) as on_answer,
        standing(blueprint, "local world") as world,
    ):
        return run_in(world, workload, on_answer)


def network_rows(live: Run, virtual: Run) -> list[Row]:
    """What crossed the torus, by both hands, in both worlds."""
    assert live.network is not None and virtual.network is not None, "the scenario has a network"
    found = [network_figures(run.network) for run in (live, virtual)]
    local, exact = ((told or {})["byte_hops"]["links"] for told in found)
    off = 100 * (local / exact - 1)
    told = [not_conserved(run.network) for run in (live, virtual) if run.network is not None]
    return [
        Row(
            "bytes x links of the torus, local against virtual",
            off,
            "%",
            f"within {BYTES_BAR} %",
            abs(off) <= BYTES_BAR,
            f"measured: {local:,} and {exact:,}",
        ),
        Row(
            "messages' bytes x links that links did not move, both worlds",
            sum(map(bool, told)),
            "worlds",
            "0",
            not any(told),
            f"measured: {'; '.join(filter(None, told)) or 'both hands agree'}",
        ),
    ]


def rows() -> Sequence[Row]:
    alone = drawn({})
    virtual = run_in_virtual(alone, questions(alone), "virtual world")
    blueprint = drawn(dict(LOCAL))
    live = run_live(blueprint)
    dilation = blueprint.scenario.cluster.dilation
    found = beside(live.answers, live.lateness, virtual.answers, dilation)
    found += network_rows(live, virtual)
    return [replace(row, name=f"torus and TP 2: {row.name}") for row in found]

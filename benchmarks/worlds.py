"""The local world beside the virtual one: `python -m benchmarks.worlds [--json FILE]`.

The same scenario in both. What its users see at the gateway must agree (in the local world measured
on the wall, over dilation), and what is emulated there must hardly ever come late.
"""

import sys
from collections.abc import Sequence

from benchmarks.rows import Row, arguments, report, wide_console
from benchmarks.runs import LOCAL, RUN_TIMEOUT_S, demo, questions, run_in_virtual, standing
from cluster.reports.summary import overrun_fraction, summarise
from cluster.reports.tables import comparison
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint

NUM_REQUESTS = 100
MEDIANS_BAR = 15  # %
OVERRUN_BAR = 5  # %


def run_live(blueprint: Blueprint) -> tuple[list[Answer], list[tuple[str, int]]]:
    """Answers, and how late every run and delivery was: (request id, emulated nanoseconds)."""
    with standing(blueprint, "local world") as world:
        world.ask_all("reset_trace")
        answers = world.ask_gateway("run", questions(blueprint), timeout_s=RUN_TIMEOUT_S)
        lateness = [record for records in world.ask_all("lateness").values() for record in records]
    return answers, lateness


def median_row(name: str, live_us: float, virtual_us: float, dilation: float) -> Row:
    difference = 100 * (live_us / virtual_us - 1)
    return Row(
        f"median {name}, local against virtual",
        difference,
        "%",
        f"within {MEDIANS_BAR} %",
        abs(difference) <= MEDIANS_BAR,
        f"measured: {live_us:.2f} us on the wall over dilation {dilation:g}, "
        f"{virtual_us:.2f} us in virtual time; {NUM_REQUESTS} requests",
    )


def overrun_row(answers: Sequence[Answer], lateness: Sequence[tuple[str, int]]) -> Row:
    tpots = {a.request_id: a.tpot_ns for a in answers if a.tpot_ns is not None}
    share = 100 * overrun_fraction(lateness, tpots)
    return Row(
        "overruns in the local world",
        share,
        "%",
        f"<= {OVERRUN_BAR} %",
        bool(lateness) and share <= OVERRUN_BAR,
        f"measured: of {len(lateness):,} runs and deliveries, late by more than 1 % of the "
        "request's TPOT (of the smallest TPOT where a batch is served)",
    )


def in_virtual() -> list[Answer]:
    """What the demo's users see where time is exact."""
    blueprint = Blueprint.draw(demo(NUM_REQUESTS))
    return run_in_virtual(blueprint, questions(blueprint), "virtual world").answers


def beside(
    answers: Sequence[Answer],
    lateness: Sequence[tuple[str, int]],
    virtual: Sequence[Answer],
    dilation: float,
) -> list[Row]:
    """A local run beside the virtual one."""
    live_us, virtual_us = summarise(answers), summarise(virtual)
    differing = sum(a.token_ids != b.token_ids for a, b in zip(answers, virtual, strict=True))
    return [
        median_row("TTFT", live_us.ttft_us_p50, virtual_us.ttft_us_p50, dilation),
        median_row("TPOT", live_us.tpot_us_p50, virtual_us.tpot_us_p50, dilation),
        overrun_row(answers, lateness),
        Row(
            "answers whose tokens differ between the worlds",
            differing,
            "",
            f"0 of {len(answers)}",
            not differing,
            "measured: token by token",
        ),
    ]


def main() -> int:
    parser = arguments("The demo scenario in the local world beside the virtual one.")
    parser.add_argument("--dilation", type=float, help="instead of the scenario's")
    options = parser.parse_args()
    changes = {} if options.dilation is None else {"cluster.dilation": options.dilation}
    blueprint = Blueprint.draw(demo(NUM_REQUESTS, {**LOCAL, **changes}))
    virtual = in_virtual()
    answers, lateness = run_live(blueprint)
    wide_console().print(
        comparison(
            "demo in both worlds",
            {"virtual": summarise(virtual), "local": summarise(answers)},
            {"virtual": "projection", "local": "measured"},
        )
    )
    rows = beside(answers, lateness, virtual, blueprint.scenario.cluster.dilation)
    return report(rows, options.json, "Local beside virtual")


if __name__ == "__main__":
    sys.exit(main())

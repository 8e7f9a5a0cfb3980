"""Does energy add up? `python -m benchmarks.memory.energy [--json FILE]`.

Components are counted at launch; the timeline learns from whoever shares a resource from when until
when it was served. Expectation, written before the first run: both are the same joules, so they
differ by what floats round, some 1e-12; a cluster without requests draws its idle watts and nothing
else; and where a machine is taken away, all the others' components still make up the total.
"""

import sys
from collections.abc import Iterator, Mapping

from benchmarks.rows import Row, arguments, report
from cluster.reports.energy.balance import Balance, balance
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from configs.totals import idle_watts
from workers.hardware.energy.conservation import counted, integral, total
from workers.hardware.energy.meter import Reading

IDENTITY_BAR = 0.1  # percent
IDLE_NS = 1_000_000_000
CASES: Mapping[str, Mapping[str, object]] = {
    "demo": {},
    "demo without its PNM server": {"cluster.nodes.pnm": None},
    "demo, HBF with banks": {"cluster.nodes.hbf.device": "ocp-hbf-grade2"},
}


def drawn(blueprint: Blueprint) -> dict[str, Reading]:
    """What each node drew over the scenario's workload."""
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    return run_in_virtual(blueprint, workload, lambda _: None).energy


def idle(blueprint: Blueprint, idle_ns: int) -> dict[str, Reading]:
    """What each node drew in that time without a request."""

    async def job(world: VirtualWorld) -> dict[str, Reading]:
        nodes = list(world.seats)
        await world.ask_each(nodes, "reset_trace")
        await world.clock.wait_until(world.clock.now() + idle_ns)
        return await world.ask_each(nodes, "energy")

    return run_virtual(blueprint, job)


def apart(one: float, other: float) -> float:
    """In percent of the larger."""
    return 100 * abs(one - other) / max(abs(one), abs(other), sys.float_info.min)


def farthest(readings: Mapping[str, Reading]) -> float:
    """Of all nodes, how far components are from the timeline; without idle power, and with it."""
    return max(
        max(
            apart(counted(reading), integral(reading)),
            apart(
                counted(reading) - reading.static_joules,
                reading.drawn_joules + reading.open_joules,
            )
            if reading.dynamic
            else 0.0,
        )
        for reading in readings.values()
    )


def identity_row(name: str, readings: Mapping[str, Reading]) -> Row:
    worst = farthest(readings)
    return Row(
        f"{name}: components beside the integral of power",
        worst,
        "% apart",
        f"<= {IDENTITY_BAR:g} %",
        worst <= IDENTITY_BAR,
        f"projection: the farthest of {len(readings)} nodes, idle power left out and in",
    )


def whole(blueprint: Blueprint, readings: Mapping[str, Reading]) -> Balance:
    told = balance(readings, sum(idle_watts(node.device) for node in blueprint.plan.nodes))
    assert told is not None, "the world emulates"
    return told


def parts_row(name: str, told: Balance) -> Row:
    """Engines, tiers, links and idle power beside the total, and phases and watts likewise."""
    components = [joules for phases in told.by_component.values() for joules in phases.values()]
    sums = (
        total([*components, told.by_phase["idle"]]),
        total(told.by_phase.values()),
        total(told.by_node.values()),
        told.power.joules,
    )
    worst = max(apart(one, told.total_joules) for one in sums)
    return Row(
        f"{name}: components, phases, nodes and watts beside the total",
        worst,
        "% apart",
        f"<= {IDENTITY_BAR:g} %, no account differs",
        worst <= IDENTITY_BAR and not told.differences,
        f"projection: {told.total_joules:.4g} J in {told.seconds * 1e3:.3g} ms",
    )


def idle_row(blueprint: Blueprint) -> Row:
    readings = idle(blueprint, IDLE_NS)
    watts = sum(idle_watts(node.device) for node in blueprint.plan.nodes)
    joules = total(counted(reading) for reading in readings.values())
    difference = apart(joules, watts * IDLE_NS * 1e-9)
    return Row(
        "demo without a request for 1 s: energy beside its idle watts",
        difference,
        "% apart",
        f"<= {IDENTITY_BAR:g} %",
        difference <= IDENTITY_BAR,
        f"projection: {joules:.6g} J of {len(readings)} nodes with {watts:g} W",
    )


def rows() -> Iterator[Row]:
    """Each as it is known."""
    for name, changes in CASES.items():
        blueprint = Blueprint.draw(load_scenario("demo", changes))
        readings = drawn(blueprint)
        yield identity_row(name, readings)
        yield parts_row(name, whole(blueprint, readings))
    yield idle_row(Blueprint.draw(load_scenario("demo", {})))


def main() -> int:
    options = arguments("Energy: components, timeline and idle power.").parse_args()
    return report(list(rows()), options.json, "Energy")


if __name__ == "__main__":
    sys.exit(main())

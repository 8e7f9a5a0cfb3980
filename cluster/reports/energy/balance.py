"""The energy of a whole cluster, and whether its accounts agree. Pure.

Three are kept of the same joules, by different hands (`workers.hardware.energy`):

    components   whole amounts, counted by resource and phase     x  energy of a unit
    accounts     floats that hardware and egress sum up at launch
    timeline     power of each part x how long it was taken, and idle watts

On every node components equal accounts; and components with idle power equal the timeline's
integral, but for what has begun and not ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from cluster.reports.energy.power import Power, power_of
from workers.hardware.energy.meter import Reading

# Of the larger: floats of millions of draws are far nearer, and what is counted by one hand and not
# by the other is seldom so little.
RELATIVE_ERROR_MAX = 1e-6
IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Balance:
    """Joules, of all nodes together.

    seconds       of emulated time, of the node that was read over the longest
    idle_watts    that all nodes draw doing nothing
    by_phase      with "idle", they are the total
    by_component  resource -> phase -> joules, without idle power
    by_node       node -> joules
    power         watts over time
    differences   accounts that disagree, in words; empty, or something was counted once too often
    """

    seconds: float
    total_joules: float
    idle_watts: float
    by_phase: Mapping[str, float]
    by_component: Mapping[str, Mapping[str, float]]
    by_node: Mapping[str, float]
    power: Power
    differences: tuple[str, ...]


def balance(readings: Mapping[str, Reading], idle_watts: float) -> Balance | None:
    """None where nothing is emulated, so that nobody metered anything."""
    if not readings:
        return None
    by_component: dict[str, dict[str, float]] = {}
    by_phase: dict[str, float] = {}
    for reading in readings.values():
        for component, phases in reading.dynamic.items():
            known = by_component.setdefault(component, {})
            for phase, joules in phases.items():
                known[phase] = known.get(phase, 0.0) + joules
                by_phase[phase] = by_phase.get(phase, 0.0) + joules
    by_phase[IDLE] = total(reading.static_joules for reading in readings.values())
    by_node = {node: counted(reading) for node, reading in readings.items()}
    all_joules = total(by_node.values())
    differences = [text for node, reading in readings.items() for text in _of_node(node, reading)]
    differences += _differ("all phases and all nodes", total(by_phase.values()), all_joules)
    return Balance(
        max(reading.until_ns - reading.begin_ns for reading in readings.values()) * 1e-9,
        all_joules,
        idle_watts,
        by_phase,
        by_component,
        by_node,
        power_of(readings.values()),
        tuple(differences),
    )


def counted(reading: Reading) -> float:
    """A node's joules by its components' counters, with idle power."""
    return total([*_dynamic(reading), reading.static_joules])


def integral(reading: Reading) -> float:
    """A node's joules by its timeline."""
    return total([*reading.buckets, reading.open_joules])


def total(joules: Iterable[float]) -> float:
    """Exact, and rounded once: in whatever order."""
    return float(sum(map(Fraction, joules), Fraction(0)))


def _dynamic(reading: Reading) -> list[float]:
    return [joules for phases in reading.dynamic.values() for joules in phases.values()]


def _of_node(node: str, reading: Reading) -> list[str]:
    accounts = total(reading.accounts.values())
    return [
        *_differ(f"{node}: components and accounts", total(_dynamic(reading)), accounts),
        *_differ(f"{node}: components and timeline", counted(reading), integral(reading)),
    ]


def _differ(what: str, one: float, other: float) -> list[str]:
    if abs(one - other) <= RELATIVE_ERROR_MAX * max(abs(one), abs(other)):
        return []
    return [f"{what} differ: {one:.9g} J and {other:.9g} J"]

"""The energy of a whole cluster, and whether it adds up. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.reports.energy.power import Power, power_of
from workers.hardware.energy.conservation import counted, differ, differences, total
from workers.hardware.energy.meter import Reading

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
    told = [text for node, reading in readings.items() for text in differences(node, reading)]
    told += differ("all phases and all nodes", total(by_phase.values()), all_joules)
    return Balance(
        max(reading.until_ns - reading.begin_ns for reading in readings.values()) / 1e9,
        all_joules,
        idle_watts,
        by_phase,
        by_component,
        by_node,
        power_of(readings.values()),
        tuple(told),
    )

"""The energy and the wear of a run, whatever world it ran in."""

from cluster.reports.energy.report import EnergyReport, energy_report
from cluster.reports.wear import TierWear, wear
from cluster.runs.run import Run
from cluster.worlds.blueprint import Blueprint


def energy_of(blueprint: Blueprint, run: Run, num_tokens: int) -> EnergyReport:
    """num_tokens: output tokens of the run's answers."""
    nodes = {node.name: (node.device, node.link) for node in blueprint.plan.nodes}
    return energy_report(run.energy, num_tokens, nodes, blueprint.scenario.economics)


def wear_of(blueprint: Blueprint, run: Run) -> list[TierWear]:
    """Of tiers that wear out, of the nodes that told what they did; none where nothing is emulated:
    nobody counted what would have been written.
    """
    devices = {node.name: node.device for node in blueprint.plan.nodes}
    known = {node: run.usage[node] for node in run.energy if node in devices and node in run.usage}
    return wear(known, devices, blueprint.scenario.economics)

"""The energy report of a run, whatever world it ran in."""

from cluster.reports.energy.report import EnergyReport, energy_report
from cluster.runs.run import Run
from cluster.worlds.blueprint import Blueprint


def energy_of(blueprint: Blueprint, run: Run, num_tokens: int) -> EnergyReport:
    """num_tokens: output tokens of the run's answers."""
    nodes = {node.name: (node.device, node.link) for node in blueprint.plan.nodes}
    return energy_report(run.energy, num_tokens, nodes, blueprint.scenario.economics)

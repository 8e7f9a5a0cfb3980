"""Switches that work on what crosses them: which one a chip uses, and what stands on it."""

from cluster.worlds.blueprint import Blueprint
from configs.parts import Ranks
from configs.plan import PartPlan, Plan, RankPlan, WorkerPlan
from workers.collectives.member import Collectives
from workers.collectives.switch import ReducingSwitch
from workers.experts.switch import ExpertSwitch
from workers.experts.switched import BySwitch
from workers.node import Node
from workers.parallel.sums import SUMS_BITS, group_of


def switch_of(plan: Plan, worker: PartPlan) -> str:
    """Of a chip, and all ranks of one; chips take them in turns. "" where there is none."""
    switches = plan.names("switch")
    if not switches:
        return ""
    chip = worker.chip if isinstance(worker, RankPlan) else worker.name
    return switches[list(plan.ranks).index(chip) % len(switches)]


def by_switch(blueprint: Blueprint, worker: PartPlan) -> BySwitch | None:
    """What a switch does of a chip's way to its experts, or of a rank's; None: nothing."""
    experts = blueprint.scenario.placement.experts
    copies, adds = experts.dispatch == "in_network", experts.combine == "in_network"
    if not copies and not adds:
        return None
    return BySwitch(switch_of(blueprint.plan, worker), copies, adds)


def stand_switch(node: Node, blueprint: Blueprint, worker: WorkerPlan) -> None:
    """It serves from now on."""
    plan, placement = blueprint.plan, blueprint.scenario.placement
    if "in_network" in (placement.experts.dispatch, placement.experts.combine):
        ExpertSwitch(node, worker.name)
    if placement.collectives.all_reduce != "in_network":
        return
    collectives = Collectives(node, worker.name)
    for ranks in _chips_of(plan, worker.name):
        for stage in range(ranks.num_stages):
            name, members = group_of(ranks, stage)
            ReducingSwitch(
                node, collectives, worker.name, name, members, blueprint.timeout_ns,
                run_bits=SUMS_BITS,
            )  # fmt: skip


def _chips_of(plan: Plan, switch: str) -> list[Ranks]:
    """Chips of several ranks to a stage that use this one."""
    switches = plan.names("switch")
    return [
        ranks
        for number, ranks in enumerate(plan.ranks.values())
        if ranks.tensor > 1 and switches[number % len(switches)] == switch
    ]

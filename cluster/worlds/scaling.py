"""The same cluster with more chips, or fewer: planned anew. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cluster.faults.problems import check_faults
from cluster.worlds.blueprint import Blueprint
from configs.nearest import nearest
from configs.plan import NodePlan, Plan, make_plan
from configs.schema import CHIP_ROLES, NodeGroup, ScenarioError

COUNT_MAX = 10_000


def scaled(blueprint: Blueprint, counts: Mapping[str, int]) -> Blueprint:
    """The cluster with so many nodes of these groups.

    Raises ScenarioError for what cannot be scaled, or not so far.
    """
    scenario, cluster = blueprint.scenario, blueprint.scenario.cluster
    problems = [
        problem
        for name, count in counts.items()
        for problem in _problems(name, count, cluster.nodes)
    ]
    if cluster.network is not None:
        problems.append(
            "cluster.network: is laid out for the nodes that there are: a cluster with a network "
            "keeps its counts; leave cluster.network out to scale"
        )
    if blueprint.plan.fold.is_on:
        problems.append(
            f"cluster.fold: {len(blueprint.plan.fold.chips)} chips are computed as one, which has "
            "as many members as it began with; set fold: off to scale"
        )
    if problems:
        raise ScenarioError(f"{scenario.name} cannot be scaled so:", problems)
    groups = {
        name: group.model_copy(update={"count": counts[name]}) if name in counts else group
        for name, group in cluster.nodes.items()
    }
    nodes = cluster.model_copy(update={"nodes": groups})
    other = scenario.model_copy(update={"cluster": nodes})
    plan = make_plan(other, blueprint.model)
    check_faults(other, plan.directory)
    renumbered = _renumbered(blueprint.plan, plan)
    if renumbered:
        raise ScenarioError(f"{scenario.name} cannot be scaled so:", renumbered)
    return replace(blueprint, scenario=other, plan=plan)


def by_steps(blueprint: Blueprint, counts: Mapping[str, int]) -> tuple[Blueprint, Blueprint]:
    """The cluster when all have come that are to come, then when all have left that are to leave.
    Raises ScenarioError, for what comes of it all first.
    """
    after = scaled(blueprint, counts)
    now, then = blueprint.scenario.cluster.nodes, after.scenario.cluster.nodes
    most = {name: max(_count(name, now), _count(name, then)) for name in counts}
    return scaled(blueprint, most), after


def added(before: Blueprint, after: Blueprint) -> list[NodePlan]:
    """Nodes that the second has alone, in its order."""
    known = {node.name for node in before.plan.nodes}
    return [node for node in after.plan.nodes if node.name not in known]


def counts_of(blueprint: Blueprint, groups: Iterable[str]) -> str:
    """How many nodes of these groups there are, in words."""
    nodes = blueprint.scenario.cluster.nodes
    return ", ".join(f"{name} {_count(name, nodes)}" for name in groups)


def _count(name: str, groups: Mapping[str, NodeGroup]) -> int:
    return len(groups[name].node_names(name))


def can_be_scaled(group: NodeGroup) -> bool:
    """Whether all of its workers are chips, each on one node."""
    return group.num_ranks == 1 and not _others(group)


def _problems(name: str, count: int, groups: Mapping[str, NodeGroup]) -> list[str]:
    fit = [each for each, group in groups.items() if can_be_scaled(group)]
    if name not in groups:
        return [f"{name}: no group of nodes is called so: {nearest(name, groups)}; {_can(fit)}"]
    if others := _others(groups[name]):
        return [f"{name}: has {', '.join(_WHY[role] for role in others)}: {_can(fit)}"]
    if groups[name].num_ranks > 1:
        return [
            f"{name}: its chips have several ranks, which only come and go together: {_can(fit)}"
        ]
    if not 1 <= count <= COUNT_MAX:
        roles = " and one ".join(groups[name].workers)
        return [
            f"{name}: is to be {count}: it must be 1 to {COUNT_MAX:,}: requests need at least one "
            f"{roles} chip, and no group has more nodes"
        ]
    return []


# Why a role's workers cannot be more or fewer while it serves.
_WHY = {
    "router": "the router, of which there is one",
    "gateway": "the gateway, of which there is one",
    "experts": "expert shards, each the only one with its experts: that needs replicas of shards",
    "memory": "memory servers, over which every collection is spread: that needs replicas of them",
    "switch": "switches of the network, which is as it was built",
}


def _others(group: NodeGroup) -> list[str]:
    """Roles of its workers that are no chips'."""
    return [role for role in group.workers if role not in CHIP_ROLES]


def _can(fit: list[str]) -> str:
    if not fit:
        return "no group of this cluster consists of chips alone"
    return f"groups of chips alone can be scaled: {', '.join(fit)}"


def _renumbered(before: Plan, after: Plan) -> list[str]:
    """Nodes that stay, and whose workers would be called otherwise."""
    stand = {node.name: node for node in before.nodes}
    problems = {}
    for node in after.nodes:
        old = stand.get(node.name)
        if old is not None and [w.name for w in old.workers] != [w.name for w in node.workers]:
            problems[node.group] = (
                f"{node.group}: its workers are numbered after those of the group that changes: "
                f"{old.workers[0].name} on {node.name} would be {node.workers[0].name}: of groups "
                "with the same role only the last can be scaled"
            )
    return list(problems.values())

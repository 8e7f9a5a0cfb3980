"""Which nodes of a cluster have what a fault of nodes takes."""

from collections.abc import Collection

from cluster.chaos.away import Away
from cluster.worlds.blueprint import Blueprint
from configs.plan import NodePlan
from configs.plan.nodes import Plan, RankPlan
from configs.schema import CHIP_ROLES

# Workers that launch nothing which could be slow.
THINKING = ("router", "gateway")


def able_nodes(blueprint: Blueprint) -> dict[str, tuple[str, ...]]:
    """What it takes -> the nodes' names: launches, room for KV, a disk that somebody writes, a pool
    of KV.
    """
    nodes, scenario = blueprint.plan.nodes, blueprint.scenario
    pool = [node.name for node in nodes if "memory" in _roles(node)]
    disk = [node.name for node in nodes if "router" in _roles(node)]
    chips = [node.name for node in nodes if _roles(node) & {*CHIP_ROLES}]
    return {
        "kv": (*chips, *(pool if scenario.placement.kv_pool else ())),
        "launches": tuple(node.name for node in nodes if not _roles(node) <= {*THINKING}),
        "disk": tuple(disk) if scenario.cluster.keeps_journal else (),
        "pool": tuple(pool) if scenario.placement.kv_pool else (),
    }


def others_stand(plan: Plan, away: Away, since_ns: int, until_ns: int) -> bool:
    """Whether all that time the router and the gateway stood, of each role's chips one did, and of
    each expert's holders: so a request that others lost could be begun anew.
    """
    absent = {node.name for node in plan.nodes if away.was(node.name, since_ns, until_ns)}
    workers = [(node.name, worker) for node in plan.nodes for worker in node.workers]
    lost = {one.chip for name, one in workers if isinstance(one, RankPlan) and name in absent}
    needed = {one.role for _, one in workers} & {*THINKING, *CHIP_ROLES}
    stand = {one.role for name, one in workers if name not in absent and one.name not in lost}
    return needed <= stand and _experts_stand(plan, absent)


def _experts_stand(plan: Plan, absent: Collection[str]) -> bool:
    """Whether each expert is held by a shard on a node that is not absent, or by such a spare."""

    def answers(shard: str) -> bool:
        names = (shard, *plan.spares.get(shard, ()))
        return any(plan.directory[name] not in absent for name in names)

    return all(any(map(answers, shards)) for shards in plan.experts.values())


def _roles(node: NodePlan) -> set[str]:
    return {worker.role for worker in node.workers}

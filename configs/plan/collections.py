"""Whether the vectors of collections fit the tiers that they are to lie in. How many they are shows
when collections are read, after a plan was made. Pure.
"""

from collections.abc import Mapping

from configs.fitting import rough
from configs.plan.nodes import MemoryPlan, NodePlan, Plan


def collection_problems(
    plan: Plan, memory_utilization: float, vector_bytes: Mapping[str, int]
) -> list[str]:
    """What does not fit, and what would. `vector_bytes`: memory server -> of all collections."""
    problems = []
    for node in plan.nodes:
        servers = [worker for worker in node.workers if isinstance(worker, MemoryPlan)]
        for tier in dict.fromkeys(server.collection_tier for server in servers):
            here = [server.name for server in servers if server.collection_tier == tier]
            needed = sum(vector_bytes.get(name, 0) for name in here)
            if needed > (room := _room(node, tier, memory_utilization)):
                problems.append(_told(node, tier, needed, room, memory_utilization))
    return problems


def _room(node: NodePlan, tier: str, memory_utilization: float) -> int:
    """Beside all that was planned; the pool has left them a part, where both lie in one tier."""
    budget = int(node.device.tiers[tier].capacity_bytes * memory_utilization)
    return budget - sum(fill.num_bytes for fill in node.fills[tier])


def _told(node: NodePlan, tier: str, needed: int, room: int, memory_utilization: float) -> str:
    beside = " and ".join(f"{rough(f.num_bytes)} of {f.what}" for f in node.fills[tier])
    wanted = int((needed + sum(f.num_bytes for f in node.fills[tier])) / memory_utilization) + 1
    return (
        f"cluster.nodes.{node.group}: {rough(needed)} of vectors do not fit tier {tier} of "
        f"{node.device.name} on {node.name}: {f'beside {beside} ' if beside else ''}it has room "
        f"for {rough(max(0, room))}; use more memory servers, another collections_tier, or a "
        f"device with at least {rough(wanted)}"
    )

"""KV offload of a chip, built as its plan says."""

from typing import TYPE_CHECKING

from configs.plan import ChipPlan
from workers.node import Node

if TYPE_CHECKING:
    from workers.chip.scheduler import Scheduler
    from workers.kv.offload import Offload
    from workers.model.base import ChipModel


def offload_of(
    node: Node,
    worker: ChipPlan,
    model: "ChipModel",
    scheduler: "Scheduler",
    servers: tuple[str, ...],
    timeout_ns: int,
    numbers: str | None = None,
) -> "Offload | None":
    """None where what the chip evicts is gone. `servers`: whose pool may hold it; `numbers`: of the
    chip's KV, where they are not the cluster's.
    """
    from workers.kv.offload import Offload
    from workers.kv.offload_admission import Uses, rule_of
    from workers.kv.offload_store import ServerStore, Store, TierStore

    plan = worker.offload
    if plan is None:
        return None
    store: Store
    if plan.tier is None:
        store = ServerStore(node, node.port(worker.name), servers, timeout_ns, numbers)
    else:
        store = TierStore(node, plan.tier, plan.capacity_bytes, model.block_bytes)
    uses = Uses()
    rule = rule_of(plan.admission, uses, plan.costs, plan.wear_bytes_per_s)
    return Offload(node, model, scheduler, store, rule, uses)

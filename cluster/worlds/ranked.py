"""Which nodes of a cluster exchange tokens with experts over memory that they share.

Only where nothing is emulated: a link that costs something is crossed by messages, which are
charged and held back.
"""

from itertools import combinations

from cluster.worlds.blueprint import Blueprint
from configs.plan import ChipPlan, ShardPlan
from configs.schema.wires import shm_hindrance
from kernels.all_to_all import Geometry
from workers.model.numerics import wire_formats

# Of one node, all of it resident. What is dispatched at once and finds no room goes as messages: a
# decode step has a row a sequence, and a long prefill's messages are large anyway. ASSUMED.
ARENA_BYTES_MAX = 32 << 20


def ranked_nodes(blueprint: Blueprint) -> tuple[tuple[str, ...], Geometry] | None:
    """Their names in the order of their ranks, chips first, and what the ranks have in common; None
    where tokens go as messages.
    """
    plan, model, section = blueprint.plan, blueprint.model, blueprint.scenario.model
    cluster = blueprint.scenario.cluster
    is_real = section.numerics == "real"
    if cluster.emulation or not is_real or plan.is_split or shm_hindrance():
        return None
    workers = [w for w in plan.workers if isinstance(w, ChipPlan)]
    shards = [w for w in plan.workers if isinstance(w, ShardPlan) and w.role == "experts"]
    nodes = tuple(plan.directory[worker.name] for worker in (*workers, *shards))
    if not shards or len(set(nodes)) < len(nodes):
        return None
    if any(cluster.wires_of(one)[other] != "shm" for one, other in combinations(nodes, 2)):
        return None

    formats = wire_formats(section.precision, section.rows)

    def geometry(capacity: int) -> Geometry:
        sizes = len(nodes), capacity, model.hidden, model.num_experts, model.top_k
        return Geometry(*sizes, *formats)

    row_bytes = geometry(1024).layout().arena // 1024 + 1
    wanted = min(section.max_num_batched_tokens, section.max_num_seqs)
    capacity = min(wanted, ARENA_BYTES_MAX // row_bytes)
    return (nodes, geometry(capacity)) if capacity else None

"""Which shard holds which experts."""

from configs.nearest import nearest
from configs.replicating import balanced, with_copies
from configs.schema.placement import ExpertPlacement


def place_experts(
    placement: ExpertPlacement, shards: tuple[str, ...], num_experts: int, num_groups: int = 1
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """(shard worker -> expert ids, problems). Without problems each expert is on exactly one shard,
    or with replicas on several, and none is empty.

    num_groups   equal runs of experts of which the gate chooses some first
    """
    if not shards:
        return {}, []  # that there is none is the plan's to say
    if not num_experts:
        return dict.fromkeys(shards, ()), [
            "cluster.nodes: expert shards, and the model has no experts: leave experts out of "
            "workers"
        ]
    replicas = placement.replicas
    if replicas is not None and replicas.strategy is not None:
        return balanced(replicas, shards, num_experts, num_groups)
    placed, problems = _place_each_once(placement, shards, num_experts)
    if replicas is None or problems:
        return placed, problems
    return with_copies(replicas, placed, num_experts)


def _place_each_once(
    placement: ExpertPlacement, shards: tuple[str, ...], num_experts: int
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    if placement.shards is not None:
        placed = {shard: tuple(placement.shards.get(shard, ())) for shard in shards}
        unknown = [name for name in placement.shards if name not in shards]
        problems = [
            f"placement.experts.shards.{name}: no shard is called {name!r}: {nearest(name, shards)}"
            for name in unknown
        ]
        return placed, problems + _mapping_problems(placed, num_experts)
    if len(shards) > num_experts:
        return dict.fromkeys(shards, ()), [
            f"cluster.nodes: {len(shards)} expert shards for {num_experts} experts: some would "
            f"hold none; use at most {num_experts}"
        ]
    if placement.chosen_strategy == "round_robin":
        return {s: tuple(range(i, num_experts, len(shards))) for i, s in enumerate(shards)}, []
    return _contiguous(shards, num_experts), []


def _contiguous(shards: tuple[str, ...], num_experts: int) -> dict[str, tuple[int, ...]]:
    """Even parts; where it does not divide, the first shards hold one more."""
    share, rest = divmod(num_experts, len(shards))
    placed, start = {}, 0
    for i, shard in enumerate(shards):
        end = start + share + (1 if i < rest else 0)
        placed[shard] = tuple(range(start, end))
        start = end
    return placed


def _mapping_problems(placed: dict[str, tuple[int, ...]], num_experts: int) -> list[str]:
    """What is wrong with shards that were named one by one."""
    key = "placement.experts.shards"
    problems = []
    holders: dict[int, list[str]] = {}
    for shard, experts in placed.items():
        for expert in experts:
            holders.setdefault(expert, []).append(shard)
        if not experts:
            problems.append(
                f"{key}.{shard}: holds no expert: give it some, or have fewer shards in "
                "cluster.nodes"
            )
    for expert, shards in sorted(holders.items()):
        if not 0 <= expert < num_experts:
            problems.append(
                f"{key}.{shards[0]}: expert {expert} does not exist: the model's are 0 to "
                f"{num_experts - 1}"
            )
        elif len(shards) > 1:
            problems.append(f"{key}: expert {expert} is on {' and '.join(shards)}: keep one")
    missing = [expert for expert in range(num_experts) if expert not in holders]
    if missing:
        listed = ", ".join(map(str, missing[:8])) + (" ..." if len(missing) > 8 else "")
        problems.append(
            f"{key}: {len(missing)} of {num_experts} experts are on no shard ({listed}): each must "
            "be on one"
        )
    return problems

"""Shards that stand by: for whom, and what they hold."""

from collections.abc import Mapping

from configs.plan.sites import Site
from configs.schema import Scenario


def spares_of(sites: tuple[Site, ...]) -> dict[str, tuple[str, ...]]:
    """Shard -> those of its group that stand by for it; shards without any are left out."""
    by_group: dict[str, list[str]] = {}
    for site in sites:
        for name, role in site.workers:
            if role == "spare":
                by_group.setdefault(site.group_name, []).append(name)
    return {
        name: tuple(by_group[site.group_name])
        for site in sites
        if site.group_name in by_group
        for name, role in site.workers
        if role == "experts"
    }


def spare_problems(scenario: Scenario) -> list[str]:
    """What spares are not combined with, and hedging without anybody to ask."""
    if scenario.placement.experts.mode == "near":
        return _hedge_problems(scenario)
    return [
        f"cluster.nodes.{name}.spares: is {group.spares}, and placement.experts.mode 'ship': chips "
        "compute experts and read them from their own shards; leave it out, or make the mode near"
        for name, group in scenario.cluster.nodes.items()
        if group.spares
    ]


def _hedge_problems(scenario: Scenario) -> list[str]:
    """Nobody is there who could be asked as well."""
    cluster, experts = scenario.cluster, scenario.placement.experts
    has_spares = any(group.spares for group in cluster.nodes.values())
    if cluster.hedge is None or has_spares or experts.replicas is not None:
        return []
    return [
        f"cluster.hedge: is {cluster.hedge:g}, and no expert shard has a spare or copies of its "
        "experts: give its group spares, or placement.experts.replicas; or leave it out"
    ]


def spare_experts(
    spares: Mapping[str, tuple[str, ...]], placed: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Spare -> experts: of all that it stands by for, so that it need read none from elsewhere."""
    held: dict[str, set[int]] = {}
    for shard, names in spares.items():
        for name in names:
            held.setdefault(name, set()).update(placed.get(shard, ()))
    return {name: tuple(sorted(experts)) for name, experts in held.items()}

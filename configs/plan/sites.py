"""Nodes and the names of their workers, before anything is put into them."""

from dataclasses import dataclass
from typing import Literal

from configs.schema import SINGLE_ROLES, NodeGroup, Role, Scenario
from configs.schema.nodes import RANK

# What a worker of a plan is.
PlanRole = Role | Literal["rank", "spare"]
# Who holds experts: shards, and those that stand by for one.
SHARD_ROLES: tuple[PlanRole, ...] = ("experts", "spare")


@dataclass(frozen=True, slots=True)
class Site:
    """A node and its workers, as (name, role).

    chip, rank   the chip of several ranks of which one stands here, and its number; "" elsewhere
    slow         how many times as long its launches take
    """

    name: str
    group_name: str
    group: NodeGroup
    workers: tuple[tuple[str, PlanRole], ...]
    chip: str = ""
    rank: int = 0
    slow: float = 1.0


def sites_of(scenario: Scenario) -> tuple[Site, ...]:
    """Every node with its workers named: `<role>-<i>` counts over the whole cluster."""
    counts: dict[PlanRole, int] = {}
    sites: list[Site] = []
    for group_name, group in scenario.cluster.nodes.items():
        if group.num_ranks > 1:
            sites += _rank_sites(group_name, group, counts)
            continue
        for i, node_name in enumerate(group.node_names(group_name)):
            workers: list[tuple[str, PlanRole]] = []
            stands_by = node_name in group.spare_names(group_name)
            roles: tuple[PlanRole, ...] = ("spare",) if stands_by else group.workers
            for role in roles:
                number = counts.get(role, 0)
                counts[role] = number + 1
                plain = role in SINGLE_ROLES and number == 0
                workers.append((role if plain else f"{role}-{number}", role))
            slow = group.slow.get(i, 1.0)
            sites.append(Site(node_name, group_name, group, tuple(workers), slow=slow))
    return tuple(sites)


def _rank_sites(group_name: str, group: NodeGroup, counts: dict[PlanRole, int]) -> list[Site]:
    """The nodes of a group of chips of several ranks, each chip's leader first."""
    (role,) = group.workers
    leader = group.num_ranks - group.tensor_parallel_size
    numbers = (leader, *(r for r in range(group.num_ranks) if r != leader))
    sites = []
    for i in range(group.count or 1):
        number = counts.get(role, 0)
        counts[role] = number + 1
        chip = f"{role}-{number}"
        names = group.rank_names(f"{group_name}-{i}"), group.rank_names(chip)
        for rank, node, worker in zip(numbers, *names, strict=True):
            held: tuple[tuple[str, PlanRole], ...] = ((worker, role if rank == leader else RANK),)
            place = i * group.num_ranks + rank
            slow = group.slow.get(place, 1.0)
            sites.append(Site(node, group_name, group, held, chip, rank, slow))
    return sites


def named(sites: tuple[Site, ...], *roles: PlanRole) -> tuple[str, ...]:
    return tuple(name for site in sites for name, role in site.workers if role in roles)

"""Nodes and the names of their workers, before anything is put into them."""

from dataclasses import dataclass

from configs.schema import SINGLE_ROLES, NodeGroup, Role, Scenario


@dataclass(frozen=True, slots=True)
class Site:
    """A node and its workers, as (name, role)."""

    name: str
    group_name: str
    group: NodeGroup
    workers: tuple[tuple[str, Role], ...]


def sites_of(scenario: Scenario) -> tuple[Site, ...]:
    """Every node with its workers named: `<role>-<i>` counts over the whole cluster."""
    counts: dict[Role, int] = {}
    sites = []
    for group_name, group in scenario.cluster.nodes.items():
        for node_name in group.node_names(group_name):
            workers = []
            for role in group.workers:
                number = counts.get(role, 0)
                counts[role] = number + 1
                plain = role in SINGLE_ROLES and number == 0
                workers.append((role if plain else f"{role}-{number}", role))
            sites.append(Site(node_name, group_name, group, tuple(workers)))
    return tuple(sites)


def named(sites: tuple[Site, ...], *roles: Role) -> tuple[str, ...]:
    return tuple(name for site in sites for name, role in site.workers if role in roles)

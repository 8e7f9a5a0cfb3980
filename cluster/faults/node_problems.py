"""Faults of nodes that could never happen: of nobody, or of nothing that the node has."""

from collections.abc import Iterator, Mapping, Sequence

from cluster.faults.when_problems import never_comes
from configs.nearest import nearest
from configs.schema import CHIP_ROLES, Scenario
from configs.schema.faults import (
    DiskFullFault,
    NodeFault,
    OutOfMemoryFault,
    PageErrorFault,
    SlowFault,
    WearOutFault,
)

# crash and pause are signals, which any process can be sent; the others are asked of a process.
# A clock is wrong where one process knows what all clocks show.
SIGNALS, ASKED, ALONE = ("virtual", "local", "ray"), ("virtual", "local"), ("virtual",)
WORLDS = {"crash": SIGNALS, "pause": SIGNALS, "clock_skew": ALONE}


def problems_of_nodes(
    fault: NodeFault, scenario: Scenario, nodes: Sequence[str], directory: Mapping[str, str]
) -> list[str]:
    """Each as "key: what is wrong with its value, and what would be right"."""
    names = (*nodes, *directory)
    if fault.node not in names:
        return [f"node: no node or worker is called {fault.node!r}: {nearest(fault.node, names)}"]
    node = directory.get(fault.node, fault.node)
    return [
        *_no_hands(fault, scenario),
        *_nothing_there(fault, scenario, node),
        *never_comes(fault, scenario, "start or random"),
    ]


def _no_hands(fault: NodeFault, scenario: Scenario) -> Iterator[str]:
    world = scenario.cluster.world
    worlds = WORLDS.get(fault.type, ASKED)
    shown = " and ".join((*([", ".join(worlds[:-1])] if worlds[1:] else []), worlds[-1]))
    if world not in worlds:
        yield (
            f"type: {fault.type} happens to nodes of world {shown} alone, and "
            f"cluster.world is {world}: set cluster.world, or leave it out"
        )
    elif isinstance(fault, SlowFault) and not scenario.cluster.emulation:
        yield "type: slow: without emulation nothing is launched: turn cluster.emulation on"


def _nothing_there(fault: NodeFault, scenario: Scenario, node: str) -> Iterator[str]:
    roles = next(
        group.workers
        for name, group in scenario.cluster.nodes.items()
        if node in group.node_names(name)
    )
    has_pool = "memory" in roles and scenario.placement.kv_pool
    if isinstance(fault, OutOfMemoryFault) and not has_pool and not set(roles) & {*CHIP_ROLES}:
        yield (
            f"node: {node} has no room for KV: name the node of a chip, or with placement.kv_pool: "
            "true that of a memory server"
        )
    if isinstance(fault, PageErrorFault | WearOutFault):
        if "memory" not in roles:
            yield f"node: {node} has no memory server, which alone keeps blocks: name one that has"
        elif not has_pool:
            yield f"type: {fault.type}: no KV is pooled: set placement.kv_pool: true"
        elif isinstance(fault, WearOutFault) and not _has_flash(scenario, node):
            yield (
                f"node: no tier of {node} is a flash file, which alone wears out: give the one of "
                "its pool a file (cluster.nodes.GROUP.device.tiers.TIER.file)"
            )
    journal = "router" in roles and scenario.cluster.keeps_journal
    if isinstance(fault, DiskFullFault) and not journal and "memory" not in roles:
        yield (
            f"node: {node} writes nothing to a disk: name the node of a memory server, or the "
            "router's with cluster.router_journal: true"
        )


def _has_flash(scenario: Scenario, node: str) -> bool:
    return any(
        tier.file is not None
        for name, group in scenario.cluster.nodes.items()
        if node in group.node_names(name)
        for tier in group.device.tiers.values()
    )

"""Faults of nodes that could never happen: of nobody, of nothing that the node has, or at an event
that never comes.
"""

from collections.abc import Iterator, Mapping, Sequence

from cluster.faults.words import kind_words, kinds_with_a_layer
from configs.nearest import nearest
from configs.schema import Scenario
from configs.schema.faults import DiskFullFault, NodeFault, PageErrorFault

# What has hands, and eyes for messages, in world virtual alone; crash and pause are signals, which
# any process can be sent.
WORLDS = ("virtual", "local")
BY_SIGNAL = ("crash", "pause")


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
        *_never(fault, scenario),
    ]


def _no_hands(fault: NodeFault, scenario: Scenario) -> Iterator[str]:
    world = scenario.cluster.world
    worlds = WORLDS if fault.type in BY_SIGNAL else WORLDS[:1]
    if world not in worlds:
        yield (
            f"type: {fault.type} happens to nodes of world {' and '.join(worlds)} alone, and "
            f"cluster.world is {world}: set cluster.world, or leave it out"
        )
    elif world != "virtual" and (fault.event or fault.transfer):
        word = "event" if fault.event else "transfer"
        yield (
            f"{word}: messages are watched in world virtual alone, and cluster.world is {world}: "
            "say when by start or random"
        )


def _nothing_there(fault: NodeFault, scenario: Scenario, node: str) -> Iterator[str]:
    roles = next(
        group.workers
        for name, group in scenario.cluster.nodes.items()
        if node in group.node_names(name)
    )
    if isinstance(fault, PageErrorFault):
        if "memory" not in roles:
            yield f"node: {node} has no memory server, which alone keeps blocks: name one that has"
        elif not scenario.placement.kv_pool:
            yield "type: page_error: no KV is pooled: set placement.kv_pool: true"
    journal = "router" in roles and scenario.cluster.keeps_journal
    if isinstance(fault, DiskFullFault) and not journal and "memory" not in roles:
        yield (
            f"node: {node} writes nothing to a disk: name the node of a memory server, or the "
            "router's with cluster.router_journal: true"
        )


def _never(fault: NodeFault, scenario: Scenario) -> Iterator[str]:
    roles = {role for group in scenario.cluster.nodes.values() for role in group.workers}
    if fault.transfer is not None and not {"prefill", "decode"} <= roles:
        yield (
            "transfer: chips that do both prefill and decode pass no KV on: give one group "
            "workers: [prefill] and another [decode], or use event"
        )
    if fault.event is None:
        return
    kind = fault.event.kind
    if kind not in kind_words():
        yield f"event.kind: no message is of kind {kind!r}: {nearest(kind, kind_words())}"
    elif fault.event.layer is not None and kind not in kinds_with_a_layer():
        yield (
            f"event.layer: a {kind} is of no one layer: leave it out, or set event.kind to "
            f"{' or '.join(kinds_with_a_layer())}"
        )

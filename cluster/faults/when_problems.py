"""Faults that wait for a message that never comes."""

from collections.abc import Iterator

from cluster.faults.words import kind_words, kinds_with_a_layer
from configs.nearest import nearest
from configs.schema import Scenario
from configs.schema.faults import FaultRule, NodeFault


def never_comes(fault: NodeFault | FaultRule, scenario: Scenario, instead: str) -> Iterator[str]:
    """Each as "key: what is wrong with its value, and what would be right"; `instead`: the words
    that say when in every world.
    """
    world = scenario.cluster.world
    if world != "virtual" and (fault.event or fault.transfer):
        word = "event" if fault.event else "transfer"
        yield (
            f"{word}: messages are watched in world virtual alone, and cluster.world is {world}: "
            f"say when by {instead}"
        )
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

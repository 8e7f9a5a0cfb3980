"""What a fold has done, told to its members' machines and links: each reports as if it had done it
by itself.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

from workers.fold.costs import Cost
from workers.fold.launches import Asked, total
from workers.hardware.energy.phase import Cause
from workers.hardware.hardware import Hardware
from workers.hardware.resource import Resource
from workers.hardware.sharing.in_order import Fifo
from workers.node import Node

ASKED_NOTHING = Asked()


class Tab:
    """Steps of a chip that are over, until they are charged: one by one that took half as long as
    computing them.
    """

    __slots__ = ("_counted", "_hardware", "_steps")

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware
        self._steps: list[tuple[Cost, int, int]] = []
        self._counted: dict[str, int] = {}

    def note(self, cost: Cost, begin_ns: int, end_ns: int, counted: Mapping[str, int]) -> None:
        """One more is over. `counted`: for how long each resource's queue has counted its launches
        as busy already.
        """
        self._steps.append((cost, begin_ns, end_ns))
        for name, busy_ns in counted.items():
            self._counted[name] = self._counted.get(name, 0) + busy_ns

    def settle(self) -> None:
        """Charge them all."""
        steps, self._steps = self._steps, []
        counted, self._counted = self._counted, {}
        for cause, alike in groupby(steps, lambda step: step[0].cause):
            self._charge(cause, list(alike), counted)
            counted = {}

    def _charge(
        self, cause: Cause, steps: Sequence[tuple[Cost, int, int]], counted: Mapping[str, int]
    ) -> None:
        drawn = [0.0] * len(steps)
        for name in dict.fromkeys(name for cost, _, _ in steps for name in cost.resources):
            asked = [cost.resources.get(name, ASKED_NOTHING) for cost, _, _ in steps]
            resource = self._hardware.resources[name]
            _did(resource, total(asked), steps[-1][2], cause, counted.get(name, 0))
            if resource.component is not None:
                unit = resource.unit_joules
                drawn = [
                    joules + one.moved * unit for joules, one in zip(drawn, asked, strict=True)
                ]
        timeline = self._hardware.meter.timeline
        for (_, begin_ns, end_ns), joules in zip(steps, drawn, strict=True):
            if joules:
                self._hardware.joules += joules
                timeline.draw(begin_ns, end_ns, joules)


def charge(
    hardware: Hardware, resources: Mapping[str, Asked], cause: Cause, begin_ns: int, end_ns: int
) -> None:
    """Launches between two instants, of which the second is now."""
    for name, asked in resources.items():
        resource = hardware.resources[name]
        _did(resource, asked, end_ns, cause)
        if resource.component is not None and asked.moved:
            joules = asked.moved * resource.unit_joules
            hardware.joules += joules
            hardware.meter.timeline.draw(begin_ns, end_ns, joules)


def _did(resource: Resource, asked: Asked, end_ns: int, cause: Cause, counted_ns: int = 0) -> None:
    resource.did((asked.asked, asked.moved, asked.accesses))
    _fifo(resource).worked(asked.busy_ns - counted_ns)
    resource.taken.was_taken(asked.taken_ns, end_ns)
    if resource.component is not None and asked.moved:
        resource.component.count(asked.moved, cause)


def _fifo(resource: Resource) -> Fifo:
    assert isinstance(resource.shared, Fifo), "a fold's machines serve in order"
    return resource.shared


def crossed(
    node: Node, out: tuple[int, int], in_busy_ns: int, cause: Cause, begin_ns: int, end_ns: int
) -> None:
    """Messages over a node's own link: (bytes, busy ns) out, busy ns in."""
    num_bytes, busy_ns = out
    node.endpoint.egress.left(num_bytes, busy_ns, cause, begin_ns, end_ns)
    lane = node.endpoint.ingress.lane
    assert isinstance(lane, Fifo), "a fold's links go in order"
    lane.worked(in_busy_ns)

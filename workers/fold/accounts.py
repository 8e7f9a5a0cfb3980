"""What a fold has done, told to its members' machines and links: each reports as if it had done it
by itself.
"""

from collections.abc import Mapping

from workers.fold.launches import Asked
from workers.hardware.energy.phase import Cause
from workers.hardware.hardware import Hardware
from workers.hardware.resource import Resource
from workers.hardware.sharing.in_order import Fifo
from workers.node import Node

NOTHING: Mapping[str, int] = {}


def charge(
    hardware: Hardware,
    resources: Mapping[str, Asked],
    cause: Cause,
    begin_ns: int,
    end_ns: int,
    counted: Mapping[str, int] = NOTHING,
) -> None:
    """Launches between two instants, of which the second is now. `counted`: for how long each
    resource's queue has counted them as busy already.
    """
    for name, asked in resources.items():
        resource = hardware.resources[name]
        resource.did((asked.asked, asked.moved, asked.accesses))
        _fifo(resource).worked(asked.busy_ns - counted.get(name, 0))
        resource.taken.was_taken(asked.taken_ns, end_ns)
        if resource.component is not None and asked.moved:
            joules = asked.moved * resource.unit_joules
            resource.component.count(asked.moved, cause)
            hardware.joules += joules
            hardware.meter.timeline.draw(begin_ns, end_ns, joules)


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

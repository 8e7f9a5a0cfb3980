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

NOTHING: Mapping[str, Asked] = {}
_NONE = Asked()


def queue_up(hardware: Hardware, resources: Mapping[str, Asked], now_ns: int) -> int:
    """A launch begins that joins its resources' queues, as whatever else works there does: returns
    how much longer it takes for those before it.
    """
    late_ns, joined = 0, list[Fifo]()
    for name, asked in resources.items():
        resource = hardware.resources[name]
        resource.did((asked.asked, asked.moved, asked.accesses))
        fifo = _fifo(resource)
        if any(fifo is one for one in joined):
            continue  # the other direction of a bus, which has the time of both already
        joined.append(fifo)
        end_ns = fifo.join(now_ns, asked.busy_ns)
        late_ns = max(late_ns, end_ns - now_ns - asked.busy_ns)
    return late_ns


def charge(
    hardware: Hardware,
    resources: Mapping[str, Asked],
    cause: Cause,
    begin_ns: int,
    end_ns: int,
    queued: Mapping[str, Asked] = NOTHING,
) -> None:
    """Launches between two instants, of which the second is now. `queued`: what one of them was
    given by `queue_up`.
    """
    for name, asked in resources.items():
        resource, known = hardware.resources[name], queued.get(name, _NONE)
        more = asked.asked - known.asked, asked.moved - known.moved
        resource.did((*more, asked.accesses - known.accesses))
        _fifo(resource).worked(asked.busy_ns - known.busy_ns)
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

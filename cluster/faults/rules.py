"""From faults to the rules that a node's endpoint asks about each message it sends.

Chance is a function of seed, rule and message, so a run repeats itself; what a rule remembers, a
recording's place or the jitter before, is of one link and goes in the order of sending. A bandwidth
rule changes no message: it is a link in its way, at whose two ends the same messages are found to
be hit.
"""

from collections.abc import Mapping
from typing import Any

from cluster.faults.aim import Aim, ways_of
from cluster.faults.delays import Delays
from configs.schema.delays import LatencyAttributes
from configs.schema.faults import (
    ANYONE,
    BandwidthFault,
    CorruptFault,
    DropFault,
    DuplicateFault,
    FaultRule,
    LatencyFault,
    PartitionFault,
    ReorderFault,
    StallFault,
)
from workers.host.rng import Rng
from workers.wire.endpoint import Endpoint
from workers.wire.message import Message
from workers.wire.rules import Corrupt, Delay, Drop, Duplicate, Pass, Rule, Verdict


def put(
    endpoint: Endpoint, name: str, fault: FaultRule, directory: Mapping[str, str], rng: Rng
) -> None:
    """Put a fault into the links of a node, if it is about them.

    directory   worker -> node, of the whole cluster
    """
    if isinstance(fault, BandwidthFault):
        _narrow(endpoint, name, fault, directory, rng)
        return
    aim = Aim(name, fault, ways_of(fault), directory, rng)
    if aim.can_leave(endpoint.node):
        endpoint.rules[name] = _rule(fault, aim)


def take_out(endpoint: Endpoint, name: str) -> None:
    """A message that it has hit goes on as it was hit."""
    endpoint.rules.pop(name, None)
    for lane in (name, _back(name)):
        endpoint.egress.narrow.take_out(lane)
        endpoint.ingress.narrow.take_out(lane)
        for far in endpoint.far_ends.values():
            far.take_out(lane)


def _narrow(
    endpoint: Endpoint, name: str, fault: BandwidthFault, directory: Mapping[str, str], rng: Rng
) -> None:
    """Put the link of a bandwidth rule into a node's way out and in; of both directions, one each.

    A rule narrows the link that it names: the way out of its source, or the way into its
    destination, where also everything from one to the other passes. One that names neither narrows
    every link, at both its ends.
    """
    way_out, way_in = endpoint.egress.narrow, endpoint.ingress.narrow
    for number, (source, destination) in enumerate(ways_of(fault)):
        lane = _back(name) if number else name
        aim = Aim(name, fault, ((source, destination),), directory, rng)
        rule = _Bandwidth(aim, fault.attributes.bytes_per_s)
        is_out = destination == ANYONE
        is_in = destination != ANYONE or source == ANYONE
        if is_out and aim.can_leave(endpoint.node):
            way_out.rules[lane] = rule
        if aim.can_enter(endpoint.node):
            (way_in.rules if is_in else way_in.far)[lane] = rule
        for node, far in endpoint.far_ends.items():
            if is_in and aim.can_enter(node):
                far.rules[lane] = rule


def _back(name: str) -> str:
    """The lane of a fault's second direction. No fault's name has a space."""
    return f"{name} back"


def _rule(fault: FaultRule, aim: Aim) -> Rule:
    match fault:
        case LatencyFault():
            return _Latency(aim, fault.attributes)
        case DropFault() | PartitionFault():
            return _Always(aim, Drop())
        case DuplicateFault():
            return _Always(aim, Duplicate(fault.attributes.delay_ns))
        case CorruptFault():
            return _Always(aim, Corrupt())
        case ReorderFault():
            return _Reorder(aim, fault.attributes.delay_ns)
        case StallFault():
            return _Stall(aim, fault.start_ns + fault.duration_ns)
        case BandwidthFault():
            raise AssertionError("it changes no message: see `_narrow`")


class _Always:
    """One verdict for all that is hit."""

    def __init__(self, aim: Aim, verdict: Verdict) -> None:
        self._aim, self._verdict = aim, verdict

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        return self._verdict if self._aim.hits(source, destination, message) else Pass()


class _Latency:
    """Late by what is drawn."""

    def __init__(self, aim: Aim, attributes: LatencyAttributes) -> None:
        self._aim, self._delays = aim, Delays(attributes)

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        if not self._aim.hits(source, destination, message):
            return Pass()
        draw = lambda: self._aim.uniform("jitter", message)  # noqa: E731 - only if it is needed
        return Delay(self._delays.next_ns((source, destination), draw))


class _Reorder:
    """Late by up to `delay_ns`, evenly, each on its own: whoever is less late overtakes."""

    def __init__(self, aim: Aim, delay_ns: int) -> None:
        self._aim, self._delay_ns = aim, delay_ns

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        if not self._aim.hits(source, destination, message):
            return Pass()
        return Delay(round(self._aim.uniform("reorder", message) * self._delay_ns))


class _Stall:
    """Held until `end_ns`: all that was sent before arrives as if sent then, in its order."""

    def __init__(self, aim: Aim, end_ns: int) -> None:
        self._aim, self._end_ns = aim, end_ns

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        if not self._aim.hits(source, destination, message):
            return Pass()
        return Delay(self._end_ns - message.sent_ns)


class _Bandwidth:
    """What is hit crosses a link of this rate."""

    def __init__(self, aim: Aim, bytes_per_s: int) -> None:
        self.hits, self._bytes_per_s = aim.hits, bytes_per_s

    @property
    def bytes_per_s(self) -> int:
        return self._bytes_per_s

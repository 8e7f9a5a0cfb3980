"""From a scenario's `faults` to the rules that a node's endpoint asks about each message it sends.

Chance is a function of seed, rule and message, and time is when the message's first byte left, so a
run repeats itself and no rule remembers anything. A repetition of a message is sent at another
time: it has a chance of its own. A bandwidth rule changes no message: it is a link in its way, at
whose two ends the same messages are found to be hit.
"""

from collections.abc import Mapping
from typing import Any

from cluster.faults.words import ANSWER, kind_words
from configs.nearest import nearest
from configs.schema import Scenario, ScenarioError
from configs.schema.faults import (
    ANYONE,
    BandwidthFault,
    CorruptFault,
    DropFault,
    DuplicateFault,
    FaultRule,
    LatencyFault,
    PartitionFault,
)
from workers.host.rng import Rng
from workers.wire.endpoint import Endpoint
from workers.wire.message import Message
from workers.wire.rules import Corrupt, Delay, Drop, Duplicate, Pass, Rule, Verdict


def rules_for(
    scenario: Scenario, node_name: str, directory: Mapping[str, str], rng: Rng
) -> dict[str, Rule]:
    """The rules of messages that leave `node_name`, in the order of the scenario.

    directory   worker -> node, of the whole cluster

    Raises ScenarioError naming every fault that could not happen, whatever node it is about.
    """
    problems = _problems(scenario, directory)
    if problems:
        raise ScenarioError(f"scenario {scenario.name} has faults that cannot happen:", problems)
    rules: dict[str, Rule] = {}
    for index, fault in enumerate(scenario.faults):
        aim = _Aim(f"fault-{index}", fault, directory, rng)
        if not isinstance(fault, BandwidthFault) and aim.can_leave(node_name):
            rules[f"fault-{index}"] = _rule(fault, aim)
    return rules


def narrow(endpoint: Endpoint, scenario: Scenario, directory: Mapping[str, str], rng: Rng) -> None:
    """Put the links of bandwidth rules into a node's way out and in.

    A rule narrows the link that it names: the way out of its source, or the way into its
    destination, where also everything from one to the other passes. One that names neither narrows
    every link, at both its ends.
    """
    for index, fault in enumerate(scenario.faults):
        if not isinstance(fault, BandwidthFault):
            continue
        name = f"fault-{index}"
        aim = _Aim(name, fault, directory, rng)
        rule = _Bandwidth(aim, fault.attributes.bytes_per_s)
        way_out, way_in = endpoint.egress.narrow, endpoint.ingress.narrow
        is_out = fault.destination == ANYONE
        is_in = fault.destination != ANYONE or fault.source == ANYONE
        if is_out and aim.can_leave(endpoint.node):
            way_out.rules[name] = rule
        if aim.can_enter(endpoint.node):
            (way_in.rules if is_in else way_in.far)[name] = rule


def _nodes(scenario: Scenario) -> tuple[str, ...]:
    return tuple(
        node for name, group in scenario.cluster.nodes.items() for node in group.node_names(name)
    )


def _rule(fault: FaultRule, aim: "_Aim") -> Rule:
    match fault:
        case LatencyFault():
            return _Latency(aim, fault.attributes.latency_ns, fault.attributes.jitter_ns)
        case DropFault() | PartitionFault():
            return _Always(aim, Drop())
        case DuplicateFault():
            return _Always(aim, Duplicate(fault.attributes.delay_ns))
        case CorruptFault():
            return _Always(aim, Corrupt())
        case BandwidthFault():
            raise AssertionError("it changes no message: see `narrow`")


# -- what could not happen -------------------------------------------------------------------------


def _problems(scenario: Scenario, directory: Mapping[str, str]) -> list[str]:
    nodes = _nodes(scenario)
    return [
        f"faults.{index}.{problem}"
        for index, fault in enumerate(scenario.faults)
        for problem in (
            *_unknown(fault, (*nodes, *directory)),
            *_no_link(fault, nodes, directory),
            *_no_time(fault, scenario.cluster.emulation),
        )
    ]


def _unknown(fault: FaultRule, names: tuple[str, ...]) -> list[str]:
    problems = [
        f"{end}: no node or worker is called {name!r}: {nearest(name, names)}"
        for end, name in (("source", fault.source), ("destination", fault.destination))
        if name != ANYONE and name not in names
    ]
    if fault.kind != ANYONE and fault.kind not in kind_words():
        text = f"kind: no message is of kind {fault.kind!r}: {nearest(fault.kind, kind_words())}"
        problems.append(text)
    return problems


def _no_link(fault: FaultRule, nodes: tuple[str, ...], directory: Mapping[str, str]) -> list[str]:
    """What stays on one node crosses no link."""
    ends = [
        name if name in nodes else directory.get(name) for name in (fault.source, fault.destination)
    ]
    if ANYONE in (fault.source, fault.destination) or None in ends or ends[0] != ends[1]:
        return []
    text = f"{fault.source} and {fault.destination} both stand on node {ends[0]}: no link is there"
    return [f"destination: {text}, so choose a worker of another node"]


def _no_time(fault: FaultRule, emulation: bool) -> list[str]:
    problems = []
    if fault.duration_ns == 0:
        problems.append("duration: is 0: it must be above 0, or left out for good")
    takes_time = isinstance(fault, LatencyFault | BandwidthFault) or (
        isinstance(fault, DuplicateFault) and fault.attributes.delay_ns > 0
    )
    if takes_time and not emulation:
        text = "without emulation no message is held back: turn cluster.emulation on"
        problems.append(f"type: {fault.type}: {text}")
    return problems


# -- rules -----------------------------------------------------------------------------------------


class _Aim:
    """Which messages a fault is about, and which of those it hits."""

    def __init__(self, name: str, fault: FaultRule, directory: Mapping[str, str], rng: Rng) -> None:
        self._name, self._fault, self._directory, self._rng = name, fault, directory, rng
        ways = [(fault.source, fault.destination)]
        if isinstance(fault, PartitionFault):
            ways.append((fault.destination, fault.source))
        self._ways = tuple(ways)

    def can_leave(self, node: str) -> bool:
        """Whether the fault is about anything that this node sends."""
        return any(
            source in (ANYONE, node) or self._directory.get(source) == node
            for source, _ in self._ways
        )

    def can_enter(self, node: str) -> bool:
        """Whether the fault is about anything that this node is sent."""
        return any(
            destination in (ANYONE, node) or self._directory.get(destination) == node
            for _, destination in self._ways
        )

    def hits(self, source: str, destination: str, message: Message[Any]) -> bool:
        fault = self._fault
        return (
            self._is_of_kind(message)
            and self._is_now(message.sent_ns)
            and self._is_between(source, destination, message)
            and (fault.toxicity >= 1 or self.uniform("hit", message) < fault.toxicity)
        )

    def uniform(self, what: str, message: Message[Any]) -> float:
        """In [0, 1), a number of this rule and this sending of this message."""
        identity = (message.source_epoch, message.message_id, message.sent_ns)
        return self._rng.uniform(self._name, what, message.source, *identity)

    def _is_of_kind(self, message: Message[Any]) -> bool:
        kind = self._fault.kind
        return kind in (ANYONE, message.kind) or (kind == ANSWER and bool(message.reply_to))

    def _is_now(self, sent_ns: int) -> bool:
        fault = self._fault
        over = fault.duration_ns is not None and sent_ns >= fault.start_ns + fault.duration_ns
        return sent_ns >= fault.start_ns and not over

    def _is_between(self, source: str, destination: str, message: Message[Any]) -> bool:
        return any(
            come_from in (ANYONE, source, message.source)
            and go_to in (ANYONE, destination, message.destination)
            for come_from, go_to in self._ways
        )


class _Always:
    """One verdict for all that is hit."""

    def __init__(self, aim: _Aim, verdict: Verdict) -> None:
        self._aim, self._verdict = aim, verdict

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        return self._verdict if self._aim.hits(source, destination, message) else Pass()


class _Latency:
    """Late by `latency_ns`, plus or minus up to `jitter_ns`, evenly."""

    def __init__(self, aim: _Aim, latency_ns: int, jitter_ns: int) -> None:
        self._aim, self._latency_ns, self._jitter_ns = aim, latency_ns, jitter_ns

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        if not self._aim.hits(source, destination, message):
            return Pass()
        share = 2 * self._aim.uniform("jitter", message) - 1 if self._jitter_ns else 0.0
        return Delay(self._latency_ns + round(share * self._jitter_ns))


class _Bandwidth:
    """What is hit crosses a link of this rate."""

    def __init__(self, aim: _Aim, bytes_per_s: int) -> None:
        self.hits, self._bytes_per_s = aim.hits, bytes_per_s

    @property
    def bytes_per_s(self) -> int:
        return self._bytes_per_s

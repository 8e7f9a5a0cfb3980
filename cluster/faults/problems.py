"""Faults that could never happen: names that nobody has, links that do not exist, no time."""

from collections.abc import Mapping

from cluster.faults.node_problems import problems_of_nodes
from cluster.faults.replay import read_delays
from cluster.faults.when_problems import never_comes
from cluster.faults.words import kind_words
from configs.nearest import nearest
from configs.schema import Scenario, ScenarioError
from configs.schema.faults import (
    ANYONE,
    OF_NODES,
    BandwidthFault,
    DuplicateFault,
    Fault,
    FaultRule,
    LatencyFault,
    ReorderFault,
    StallFault,
)


def check_faults(scenario: Scenario, directory: Mapping[str, str]) -> None:
    """Raises ScenarioError naming every fault that could not happen, whatever node it is about.

    directory   worker -> node, of the whole cluster
    """
    problems = [
        f"faults.{index}.{problem}"
        for index, fault in enumerate(scenario.faults)
        for problem in problems_of(fault, scenario, directory)
    ]
    if problems:
        raise ScenarioError(f"scenario {scenario.name} has faults that cannot happen:", problems)


def problems_of(fault: Fault, scenario: Scenario, directory: Mapping[str, str]) -> list[str]:
    """Each as "key: what is wrong with its value, and what would be right"."""
    nodes = tuple(
        node for name, group in scenario.cluster.nodes.items() for node in group.node_names(name)
    )
    if isinstance(fault, OF_NODES):
        return problems_of_nodes(fault, scenario, nodes, directory)
    return [
        *_unknown(fault, (*nodes, *directory)),
        *_no_link(fault, nodes, directory),
        *_no_time(fault, scenario.cluster.emulation),
        *_no_recording(fault),
        *never_comes(fault, scenario, "start"),
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
    takes_time = isinstance(fault, LatencyFault | ReorderFault | StallFault | BandwidthFault) or (
        isinstance(fault, DuplicateFault) and fault.attributes.delay_ns > 0
    )
    if takes_time and not emulation:
        text = "without emulation no message is held back: turn cluster.emulation on"
        problems.append(f"type: {fault.type}: {text}")
    return problems


def _no_recording(fault: FaultRule) -> list[str]:
    if not isinstance(fault, LatencyFault) or fault.attributes.path is None:
        return []
    try:
        read_delays(fault.attributes.path)
    except (OSError, ValueError) as error:
        return [f"attributes.path: {error}"]
    return []

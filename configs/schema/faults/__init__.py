"""What goes wrong, as data: rules of links (`links`), and what happens to nodes (`nodes`) and when
(`when`).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from configs.schema.faults.links import (
    ANYONE,
    OF_LINKS,
    BandwidthFault,
    CorruptFault,
    DropFault,
    DuplicateFault,
    FaultRule,
    LatencyFault,
    NoAttributes,
    PartitionFault,
    ReorderFault,
    StallFault,
)
from configs.schema.faults.nodes import (
    OF_NODES,
    ClockSkewFault,
    CrashFault,
    DiskFullFault,
    NodeFault,
    OutOfMemoryFault,
    PageErrorFault,
    PauseFault,
    SlowFault,
    WearOutFault,
)
from configs.schema.faults.when import AtRandom, OnEvent, OnTransfer

__all__ = [
    "ANYONE",
    "OF_NODES",
    "AtRandom",
    "BandwidthFault",
    "ClockSkewFault",
    "CorruptFault",
    "CrashFault",
    "DiskFullFault",
    "DropFault",
    "DuplicateFault",
    "Fault",
    "FaultRule",
    "LatencyFault",
    "NoAttributes",
    "NodeFault",
    "OnEvent",
    "OnTransfer",
    "OutOfMemoryFault",
    "PageErrorFault",
    "PartitionFault",
    "PauseFault",
    "ReorderFault",
    "SlowFault",
    "StallFault",
    "WearOutFault",
    "link_faults",
    "named",
    "node_faults",
]  # fmt: skip

Fault = Annotated[OF_LINKS | OF_NODES, Field(discriminator="type")]


def named(faults: Sequence[Fault]) -> Mapping[str, Fault]:
    """Name -> fault; one that has none is called by its place. Raises ValueError."""
    found: dict[str, Fault] = {}
    for index, fault in enumerate(faults):
        name = fault.name or f"fault-{index}"
        if name in found:
            raise ValueError(f"faults.{index}.name: {name!r} is another's too: choose another name")
        found[name] = fault
    return found


def link_faults(faults: Sequence[Fault]) -> dict[str, FaultRule]:
    """Those of links, by name."""
    return {n: fault for n, fault in named(faults).items() if not isinstance(fault, OF_NODES)}


def node_faults(faults: Sequence[Fault]) -> dict[str, NodeFault]:
    """Those of nodes, by name."""
    return {n: fault for n, fault in named(faults).items() if isinstance(fault, OF_NODES)}

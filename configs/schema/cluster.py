"""A cluster: its nodes, and what world they live in."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from configs.schema.network import NetworkSection
from configs.schema.nodes import NodeGroup
from configs.schema.section import Name, Section
from configs.schema.wires import Wire, WireChoice, fastest_wire, wire_between
from configs.units import DurationNs


class ClusterSection(Section):
    """world      "virtual": one process, the clock jumps; "process": one process, wall clock;
               "local": a process a node on this machine, wall clock; "ray": a process a node on
               the machines of a Ray cluster, wall clock
    emulation  off: everything costs nothing but what it really takes, and dilation is 1
    dilation   wall time for one unit of emulated time in a live world: at 1000 a 2 us link takes
               2 ms
    transport  how frames move between processes: "grpc", "ucx", "shm" (memory that processes of
               one machine share), or "auto", which is meant where it is left out: the first that
               can be had of "shm", "ucx" and "grpc"; within one process there is only "memory". Two
               nodes whose groups name different ones take the one that reaches further
    certificates   folder that `perfuse certs` made: gRPC then goes over TCP, with TLS in which both
               sides show a certificate of the cluster; None: over unix sockets in a private folder
    restarts   how often a node whose process has died is started again, in worlds ray and local;
               None: in ray three times, in local not at all
    router_journal   whether the router keeps its events on its node's disk, so that a restarted one
               goes on; None: in live worlds
    attempts   how often a request is begun on chips, until it ends because they failed it each time
    silence    after which what a chip had goes elsewhere that says nothing, and answers nothing;
               and what an expert shard was asked, where a spare or copies have its experts
    hedge      so many times the usual time of an answer a chip waits for an expert shard before it
               asks a spare or copies as well; None: only those of a shard that is silent or gone
    nodes      group name -> nodes that are alike; the order numbers the workers
    network    what lies between their links; None: nothing that is narrow or takes time
    fold       whether chips and expert shards are computed as one object with vectors, in the
               virtual world: "on", "off", or "auto": where there are many (`configs.plan.fold`)
    fold_tells when the router hears of what a folded step sampled: when it ends ("step"), or with
               its whole stretch; "auto": by step with digests, by stretch with counts
    """

    world: Literal["virtual", "process", "local", "ray"] = "virtual"
    emulation: bool = True
    dilation: float = Field(default=1.0, ge=1, le=1e9)
    transport: Literal["auto", "grpc", "memory", "shm", "ucx"] | None = None
    certificates: str | None = Field(default=None, min_length=1)
    restarts: int | None = Field(default=None, ge=0, le=1_000_000)
    router_journal: bool | None = None
    attempts: int = Field(default=3, ge=1, le=1_000)
    silence_ns: DurationNs = Field(
        default=1_500_000_000, ge=1_000, validation_alias="silence", serialization_alias="silence"
    )
    hedge: float | None = Field(default=None, ge=1, le=1e6)
    nodes: Mapping[Name, NodeGroup] = Field(min_length=1)
    network: NetworkSection | None = None
    fold: Literal["auto", "on", "off"] = "auto"
    fold_tells: Literal["auto", "step", "stretch"] = "auto"

    @field_validator("fold", mode="before")
    @classmethod
    def _on_and_off(cls, fold: object) -> object:
        """YAML reads them as truth values."""
        return {True: "on", False: "off"}.get(fold, fold) if isinstance(fold, bool) else fold

    @property
    def has_processes(self) -> bool:
        """Whether each node is a process of its own."""
        return self.world in ("local", "ray")

    @property
    def restarts_max(self) -> int:
        """How often each node is started again, at most."""
        by_itself = 3 if self.world == "ray" else 0
        return by_itself if self.restarts is None else self.restarts

    @property
    def keeps_journal(self) -> bool:
        return self.world != "virtual" if self.router_journal is None else self.router_journal

    @field_validator("dilation")
    @classmethod
    def _none_without_emulation(cls, dilation: float, info: ValidationInfo) -> float:
        return dilation if info.data.get("emulation", True) else 1.0

    @property
    def frames_by(self) -> Wire | Literal["memory"]:
        """The transport, chosen or by default; within one process it can only be memory."""
        if not self.has_processes:
            return "memory"
        chosen = self.transport or "auto"
        return self._fastest() if chosen == "auto" else chosen

    def wires_of(self, node: str) -> dict[str, Wire]:
        """Each other node -> the wire that joins them in a live world of processes, the same seen
        from either end. Raises ValueError if there is no such node.
        """
        chosen = {
            name: self._wire(group)
            for group_name, group in self.nodes.items()
            for name in group.node_names(group_name)
        }
        if node not in chosen:
            raise ValueError(f"node: is {node!r}: the cluster has {', '.join(chosen)}")
        own = chosen.pop(node)
        return {other: wire_between(own, wire) for other, wire in chosen.items()}

    def choice_of(self, group: str) -> WireChoice:
        """What the scenario says of the wire of a group's nodes, in a live world of processes."""
        chosen = self.nodes[group].transport or self.transport or "auto"
        assert chosen != "memory", "no wire between processes: the plan refuses it"
        return chosen

    @property
    def wires(self) -> list[Wire]:
        """All that join any two groups of a live world of processes, by name."""
        chosen = [self._wire(group) for group in self.nodes.values()]
        return sorted({wire_between(one, other) for one in chosen for other in chosen})

    def _wire(self, group: NodeGroup) -> Wire:
        chosen = group.transport or self.frames_by
        assert chosen != "memory", "no wire between processes: the plan refuses it"
        return self._fastest() if chosen == "auto" else chosen

    def _fastest(self) -> Wire:
        """All nodes are on this machine, and find the same; gRPC alone shows certificates."""
        return fastest_wire() if self.certificates is None else "grpc"

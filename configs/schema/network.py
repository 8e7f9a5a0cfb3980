"""What lies between the nodes' own links: a topology, how messages share it, which come first."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from configs.presets import expand
from configs.schema.device import Sharing
from configs.schema.link import LinkSpec
from configs.schema.section import Name, Section
from configs.units import BytesPerSecond, DurationNs

Topology = Literal["switch", "fat_tree", "rail_optimised", "dragonfly", "torus", "direct", "given"]
# Messages by what they carry: tokens to experts and back; parts of ranks' sums; KV blocks; searches
# and their passages; all else.
TrafficClass = Literal["experts", "collectives", "kv", "retrieval", "rest"]

# Which keys say something of which topology; all others say something of each.
_KEYS_OF: Mapping[str, tuple[str, ...]] = {
    "ports": ("switch",),
    "arity": ("fat_tree",),
    "levels": ("fat_tree",),
    "server": ("rail_optimised",),
    "server_link": ("rail_optimised",),
    "spines": ("rail_optimised",),
    "groups": ("dragonfly",),
    "routers": ("dragonfly",),
    "hosts": ("dragonfly",),
    "global_links": ("dragonfly",),
    "global_link": ("dragonfly",),
    "dims": ("torus",),
    "switches": ("given",),
    "links": ("given",),
    "nodes_forward": ("given",),
}
_ALWAYS: Mapping[str, tuple[str, ...]] = {"rail_optimised": ("server",), "given": ("links",)}


def _expand_link(value: Any) -> Any:
    return expand("link", value)


Link = Annotated[LinkSpec, BeforeValidator(_expand_link)]


class GivenLink(Section):
    """One link of a graph by hand, there and back unless it is `one_way`.

    source, target   a switch, a node, or a group: then each node of it
    latency_ns, bytes_per_s   where they are others than `cluster.network.link` says
    """

    source: Name = Field(validation_alias="from", serialization_alias="from")
    target: Name = Field(validation_alias="to", serialization_alias="to")
    latency_ns: DurationNs | None = Field(
        default=None, validation_alias="latency", serialization_alias="latency"
    )
    bytes_per_s: BytesPerSecond | None = Field(
        default=None, validation_alias="bandwidth", serialization_alias="bandwidth"
    )
    one_way: bool = False


class NetworkSection(Section):
    """Each node is joined to a port of the topology by its own link (`cluster.nodes.<name>.link`).
    Sizes that are left out follow from the number of nodes.

    link              inner links, each way of each
    switch_latency_ns   of a message through one switch, or through a node that passes it on
    switch_bytes_per_s  that one switch moves in all; None: as much as its links
    sharing           of messages that meet on a hop, also on the nodes' own links
    routing           "deterministic": one shortest path a pair; "adaptive": the least loaded of
                      several shortest paths when the message leaves
    priorities        of classes of traffic, 1 where left out: weights, or if `strict` order: who
                      has more goes first, and others have what is left
    """

    type: Topology
    link: Link | None = None
    switch_latency_ns: DurationNs = Field(
        default=0, validation_alias="switch_latency", serialization_alias="switch_latency"
    )
    switch_bytes_per_s: BytesPerSecond | None = Field(
        default=None, validation_alias="switch_bandwidth", serialization_alias="switch_bandwidth"
    )
    sharing: Sharing = "fair"
    routing: Literal["deterministic", "adaptive"] = "deterministic"
    priorities: Mapping[TrafficClass, Annotated[int, Field(ge=1, le=64)]] = Field(
        default_factory=dict
    )
    strict: bool = False
    ports: int | None = Field(default=None, ge=2, le=65_536)
    arity: int | None = Field(default=None, ge=2, le=128)
    levels: Literal[2, 3] = 3
    server: int | None = Field(default=None, ge=1, le=1_024)
    server_link: Link | None = None
    spines: int = Field(default=1, ge=1, le=1_024)
    groups: int | None = Field(default=None, ge=1, le=4_096)
    routers: int | None = Field(default=None, ge=1, le=1_024)
    hosts: int | None = Field(default=None, ge=1, le=1_024)
    global_links: int | None = Field(default=None, ge=1, le=1_024)
    global_link: Link | None = None
    dims: tuple[Annotated[int, Field(ge=1, le=1_024)], ...] | None = None
    switches: tuple[Name, ...] = ()
    links: tuple[GivenLink, ...] = ()
    nodes_forward: bool = False

    @model_validator(mode="after")
    def _keys_fit_the_type(self) -> Self:
        for key, types in _KEYS_OF.items():
            default = type(self).model_fields[key].default
            if self.type not in types and getattr(self, key) != default:
                raise ValueError(
                    f"{key} is given, which says nothing of a {self.type}: only of "
                    f"{' and '.join(types)}"
                )
        for key in _ALWAYS.get(self.type, ()):
            if not getattr(self, key):
                raise ValueError(f"{key} is missing: a {self.type} network must say it")
        if self.type != "switch" and self.link is None:
            raise ValueError(
                f"link is missing: a {self.type} has inner links; name one, for example "
                "link: nvlink5"
            )
        if self.type == "switch" and self.link is not None:
            raise ValueError(
                "link is given, and one switch has no inner links: leave it out, or give "
                "switch_bandwidth"
            )
        if self.dims is not None and len(self.dims) not in (2, 3):
            raise ValueError(f"dims is {list(self.dims)}: a torus has two or three, as [4, 4]")
        if self.arity is not None and self.arity % 2:
            raise ValueError(f"arity is {self.arity}: half of a switch's ports go up: even, as 4")
        if self.strict and self.sharing == "fifo":
            raise ValueError("strict is true and sharing fifo: who came first goes first; use fair")
        if self.strict and not self.priorities:
            raise ValueError(
                "strict is true and priorities are missing: no class goes before another; give "
                "them, for example priorities: {experts: 2}, or leave strict out"
            )
        if self.priorities and self.sharing == "fifo":
            raise ValueError("priorities are given and sharing is fifo: they need sharing: fair")
        return self

    def priority(self, traffic: TrafficClass) -> int:
        return self.priorities.get(traffic, 1)

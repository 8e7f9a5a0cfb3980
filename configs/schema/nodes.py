"""Which machines there are, and who works on them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from configs.presets import expand
from configs.schema.device import DeviceSpec
from configs.schema.kv import KvSection
from configs.schema.link import LinkSpec
from configs.schema.machines import MachinesSection
from configs.schema.placement import What
from configs.schema.roles import check_spares, check_switch
from configs.schema.section import Name, Section
from configs.schema.wires import WireChoice

Role = Literal["router", "gateway", "prefill", "decode", "chip", "experts", "memory", "switch"]
# A rank of a chip that does not lead: there are as many as the degrees of its group ask for.
RANK: Literal["rank"] = "rank"
_RANK = f"-{RANK}-"  # between a chip's name and a rank's number
# There is one of each in a cluster, and its worker carries the plain role as its name.
SINGLE_ROLES: tuple[Role, ...] = ("router", "gateway")
# A `chip` is given both: a request that it prefills it also decodes, in place.
CHIP_ROLES: tuple[Role, ...] = ("prefill", "decode", "chip")


def _expand_device(value: Any) -> Any:
    return expand("device", value)


def _expand_link(value: Any) -> Any:
    return expand("link", value)


class NodeGroup(Section):
    """Nodes that are alike. Each of them carries one worker of every role in `workers`.

    count    how many; left out it is one
    spares   further nodes that stand by: each holds what all nodes of the group hold, and answers
             for one that is gone. Of expert shards
    tensor_parallel_size, pipeline_parallel_size   of each chip of the group, as vLLM calls them: it
             becomes as many nodes as their product, one a rank. `count` is of chips, then: so many
             stand side by side (data parallel)
    decode_context_parallel_size   so many of the ranks that hold the same KV heads hold slices of
             the tokens instead
    pipeline_layers   how many layers each stage holds; left out: `configs.stages`
    device   a preset's name, a whole specification, or {base: <preset>, <keys to change>}
    link     the same, for the link that joins each of these nodes to the others
    transport   what moves the frames of that link in a live world, as `cluster.transport`, which it
             is where this is left out
    tiers       what lies in which memory tier of these nodes: goes before `placement.<what>_tier`
    at          of a switch that works on what crosses it: which of the network's switches it is;
                left out where there is one
    kv          blocks of these chips: goes before `model.block_size` and `model.kv_cache_dtype`
    slow        number of a node of the group, from 0 -> how many times as long its launches take:
                stragglers
    machines    what these nodes ask of the machines of a Ray cluster, in world ray
    """

    workers: tuple[Role, ...]
    count: int | None = Field(default=None, ge=1, le=10_000)
    spares: int = Field(default=0, ge=0, le=1_024)
    tensor_parallel_size: int = Field(default=1, ge=1, le=1_024)
    pipeline_parallel_size: int = Field(default=1, ge=1, le=1_024)
    decode_context_parallel_size: int = Field(default=1, ge=1, le=1_024)
    pipeline_layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(), max_length=1_024)
    device: Annotated[DeviceSpec, BeforeValidator(_expand_device)]
    link: Annotated[LinkSpec, BeforeValidator(_expand_link)]
    transport: WireChoice | None = None
    tiers: Mapping[What, str] = Field(default_factory=dict)
    at: Name | None = None
    kv: KvSection = KvSection()
    slow: Mapping[int, Annotated[float, Field(ge=1, le=1_000)]] = Field(default_factory=dict)
    machines: MachinesSection = MachinesSection()

    @model_validator(mode="after")
    def _roles_differ(self) -> Self:
        if not self.workers:
            raise ValueError("workers is empty: name at least one role")
        twice = sorted({role for role in self.workers if self.workers.count(role) > 1})
        if twice:
            raise ValueError(f"workers names {', '.join(twice)} twice: raise count instead")
        return self

    @model_validator(mode="after")
    def _roles_have_their_keys(self) -> Self:
        check_switch(self.workers, self.at)
        check_spares(self.workers, self.spares)
        return self

    @property
    def is_switch(self) -> bool:
        """Whether these nodes are switches of the network."""
        return "switch" in self.workers

    @property
    def num_ranks(self) -> int:
        """Nodes of each chip of the group."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    @model_validator(mode="after")
    def _ranks_are_of_chips(self) -> Self:
        others = [role for role in self.workers if role not in CHIP_ROLES]
        given = {
            "tensor_parallel_size": self.tensor_parallel_size > 1,
            "pipeline_parallel_size": self.pipeline_parallel_size > 1,
            "pipeline_layers": self.pipeline_layers != (),
        }
        key = next((name for name, is_given in given.items() if is_given), None)
        if key is not None and (others or len(self.workers) > 1):
            value = getattr(self, key)
            told = list(value) if isinstance(value, tuple) else value
            raise ValueError(
                f"{key} is {told}, and workers names {', '.join(self.workers)}: only one of "
                "prefill, decode and chip has ranks; give the others a group of their own"
            )
        return self

    @model_validator(mode="after")
    def _slow_ones_exist(self) -> Self:
        num_nodes = (self.count or 1) * self.num_ranks
        if beyond := [number for number in self.slow if not 0 <= number < num_nodes]:
            raise ValueError(
                f"slow names node {beyond[0]}, and the group has {num_nodes}: 0 to {num_nodes - 1}"
            )
        return self

    @property
    def is_plain(self) -> bool:
        """Whether the one node carries the group's name without a number."""
        return self.count is None and any(role in SINGLE_ROLES for role in self.workers)

    def node_names(self, group: str) -> tuple[str, ...]:
        """`<group>-<i>`, or the plain group name for a router or gateway without a count. Of a chip
        of several ranks its leader has that name, and `<group>-<i>-rank-<r>` each of the others.
        """
        if self.is_plain:
            return (group,)
        own = (name for i in range(self.count or 1) for name in self.rank_names(f"{group}-{i}"))
        return (*own, *self.spare_names(group))

    def spare_names(self, group: str) -> tuple[str, ...]:
        """Of the nodes that stand by: `<group>-spare-<i>`."""
        return tuple(f"{group}-spare-{i}" for i in range(self.spares))

    def rank_names(self, chip: str) -> tuple[str, ...]:
        """Of one chip, its leader first: of nodes, or of workers, as `chip` is one or the other."""
        leader = self.num_ranks - self.tensor_parallel_size
        return (chip, *(f"{chip}{_RANK}{r}" for r in range(self.num_ranks) if r != leader))


def is_rank_of(worker: str, chip: str) -> bool:
    """Whether a worker is a rank of this chip that does not lead it."""
    return worker.startswith(f"{chip}{_RANK}")

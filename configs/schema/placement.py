"""Where experts, KV and collections live."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.schema.collectives import CollectivesSection
from configs.schema.offload import KvOffload
from configs.schema.replicas import ExpertReplicas
from configs.schema.section import Name, Section
from configs.units import DurationNs

# What lies in a memory tier. Weights are a chip's own: attention, norms, gates, shared experts;
# embeddings are embedding and vocabulary projection; hot experts are those of `hot_experts`;
# `kv_offload` is KV that was evicted.
What = Literal[
    "weights", "embeddings", "experts", "hot_experts", "activations", "kv", "kv_offload", "pool",
    "collections",
]  # fmt: skip
Policy = Literal["default", "frozen_in_flash"]
# Which engine works on what lies in a tier: the one beside that tier, or always the main one.
Engines = Literal["beside", "main"]


# Whether work is done beside the memory that holds its data, or these are shipped to a chip.
Where = Literal["near", "ship"]


# Whether a switch works on what crosses it.
Via = Literal["direct", "in_network"]


class ExpertPlacement(Section):
    """Which shard holds which experts, the same in every layer. Either a strategy or every shard by
    name.

    contiguous    shard 0 holds the first experts, shard 1 the next ...
    round_robin   expert e is on shard e mod shards
    shards        shard worker ("experts-0") -> expert ids
    mode          who computes them: "near", each shard its own, to which tokens are sent; "ship", a
                  chip, to which shards send the weights that a layer's tokens chose
    replicas      further copies of some experts
    dispatch, combine   "in_network": a node with workers: [switch] copies tokens on their way to
                  shards, adds their sums on the way back; "direct": chips and shards do all
    on_timeout    of a token whose shard has not answered `timeout_ns` after it was asked: "fail",
                  its request ends with an error (without a timeout when a call's time is over);
                  "replace", the shard's share is left out, and the token is flagged
    """

    strategy: Literal["contiguous", "round_robin"] | None = None
    shards: Mapping[Name, tuple[int, ...]] | None = None
    mode: Where = "near"
    replicas: ExpertReplicas | None = None
    dispatch: Via = "direct"
    combine: Via = "direct"
    on_timeout: Literal["fail", "replace"] = "fail"
    timeout_ns: DurationNs | None = Field(
        default=None, validation_alias="timeout", serialization_alias="timeout"
    )

    @model_validator(mode="after")
    def _late_are_known(self) -> Self:
        if self.timeout_ns == 0:
            raise ValueError(
                "timeout is 0 ns: every share is late then; give some time, for example timeout: "
                "200 us, or leave it out"
            )
        if self.on_timeout == "replace" and not self.timeout_ns:
            raise ValueError(
                "on_timeout is 'replace' and timeout is missing: say after how long a share is "
                "replaced, for example timeout: 200 us"
            )
        if self.on_timeout == "replace" and self.mode == "ship":
            raise ValueError(
                "on_timeout is 'replace' and mode 'ship': weights that do not come are no share of "
                "a sum; make the mode near, or leave on_timeout out"
            )
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.strategy is not None and self.shards is not None:
            raise ValueError("experts has both strategy and shards: keep one")
        if self.replicas is not None and self.replicas.strategy is not None:
            asked = "strategy" if self.strategy is not None else "shards"
            if getattr(self, asked) is not None:
                raise ValueError(
                    f"experts has {asked}, and replicas strategy eplb, which places all: keep one"
                )
        return self

    @property
    def chosen_strategy(self) -> Literal["contiguous", "round_robin"]:
        """The strategy where no shards are named."""
        return self.strategy or "contiguous"


# Values of a vector of each embedder.
EMBEDDER_DIMS: Mapping[str, int] = {"hashing": 1024, "minilm": 384}
# ASSUMED: of a size of an index; more lists than that are longer to compare than to scan.
SIZE_MAX = 65_536
Size = Annotated[int, Field(ge=1, le=SIZE_MAX)]
# Sizes of an index, and who has them.
SIZES = {"nlist": ("ivf_flat", "ivf_pq"), "nprobe": ("ivf_flat", "ivf_pq"),
         "m": ("ivf_pq",), "rerank": ("ivf_pq",)}  # fmt: skip


class CollectionPlacement(Section):
    """One vector store, spread over all memory servers.

    path      folder of documents, an index made of one by `perfuse index`, or "perfuse-tiny corpus"
    embedder  "hashing" (no model needed) or "minilm"
    index     how a server finds: "exact", it scans its part; "ivf_flat", it reads inverted lists
              near the query; "ivf_pq", these lists hold codes, and the best are compared again
    nlist, nprobe   inverted lists of each server, and how many of them a query reads
    m         bytes of a code (subquantisers)
    rerank    passages whose vectors are compared again
              (of these four, what is left out is computed from the size of a server's part)
    """

    path: str
    embedder: Literal["hashing", "minilm"] = "hashing"
    index: Literal["exact", "ivf_flat", "ivf_pq"] = "exact"
    nlist: Size | None = None
    nprobe: Size | None = None
    m: Size | None = None
    rerank: Size | None = None

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        for key, kinds in SIZES.items():
            if getattr(self, key) is not None and self.index not in kinds:
                raise ValueError(
                    f"{key} is {getattr(self, key)}, but index {self.index!r} has none: leave it "
                    f"out, or make index {' or '.join(kinds)}"
                )
        if self.nlist is not None and self.nprobe is not None and self.nprobe > self.nlist:
            raise ValueError(
                f"nprobe is {self.nprobe}: no more than the nlist of {self.nlist} can be read"
            )
        dim = EMBEDDER_DIMS[self.embedder]
        if self.m is not None and dim % self.m:
            fitting = [n for n in range(1, dim + 1) if dim % n == 0]
            nearest = min(fitting, key=lambda n: abs(n - (self.m or 0)))
            raise ValueError(
                f"m is {self.m}: it must divide the {dim} values of a vector of embedder "
                f"{self.embedder!r}, as {nearest} does"
            )
        return self


class KvNear(Section):
    """KV of running sequences that lies with the memory servers, in the pool's tier, striped over
    them.

    keep    full blocks of a decoding sequence that stay on its chip, the newest; older ones leave
    mode    "near": queries go there, and parts of attention come back. "ship": blocks come back, a
            layer at a time, and the chip attends
    blocks  that each memory server has room for; what it refuses stays on the chip
    """

    keep: int = Field(default=4, ge=0, le=2**31 - 1)
    mode: Literal["near", "ship"] = "near"
    blocks: int = Field(default=1024, ge=1, le=2**31 - 1)


class PlacementSection(Section):
    """Where what lies. A tier is named by the device's own name for it; what a node's group says of
    its own goes first (`cluster.nodes.<group>.tiers`).

    policy        for all that no key names. "default": the device's default tier.
                  "frozen_in_flash": weights, embeddings, experts and collections in the largest
                  tier that wears out, all else in the fastest that does not; the default tier of a
                  device that has not both
    <what>_tier   of the machines that hold it; `pool_tier` left out is always the tier that is
                  written fastest and does not wear
    hot_experts   ids that lie in `hot_experts_tier`, all others in `experts_tier`
    experts_prefetch   read experts of a tier with a buffer before they are asked for, as the gate
                  of the layer before predicts
    reserve       KV that the router reserves for a request: "full", its prompt and its longest
                  answer; "watermark", its prompt and a watermark, as vLLM does: it grows, and who
                  finds no block preempts the newest
    search        who scans collections: "near", each memory server its own part; "ship", a chip, to
                  which the servers send their vectors. The same hits, bit for bit
    engines       "beside": search and experts are computed by an engine beside the tier of their
                  data, where the device has one that computes in their dtype; else by the main one
    kv_pool       keep shared prefixes in the memory servers as well
    kv_offload    keep what a chip evicts, and bring it back; None: it is computed again
    kv_near       older KV of sequences that decode lies with the memory servers; left out, nowhere
    collections   vector store name -> what is in it
    collectives   algorithms of the ranks of one chip
    """

    policy: Policy = "default"
    weights_tier: str | None = None
    embeddings_tier: str | None = None
    experts_tier: str | None = None
    hot_experts_tier: str | None = None
    activations_tier: str | None = None
    kv_tier: str | None = None
    pool_tier: str | None = None
    collections_tier: str | None = None
    experts: ExpertPlacement = ExpertPlacement()
    experts_prefetch: bool = False
    hot_experts: tuple[int, ...] = ()
    reserve: Literal["full", "watermark"] = "full"
    search: Where = "near"
    engines: Engines = "beside"
    kv_pool: bool = False
    kv_offload: KvOffload | None = None
    kv_near: KvNear | None = None
    collections: Mapping[Name, CollectionPlacement] = Field(default_factory=dict)
    collectives: CollectivesSection = CollectivesSection()

    def tier_for(self, what: What) -> str | None:
        """What the scenario says of all machines; None: nothing."""
        if what == "kv_offload":
            return None if self.kv_offload is None else self.kv_offload.own_tier
        tier: str | None = getattr(self, f"{what}_tier")
        return tier

    @property
    def pools(self) -> bool:
        """Whether memory servers hold KV for chips."""
        offloads = self.kv_offload is not None and self.kv_offload.own_tier is None
        return self.kv_pool or offloads

    @model_validator(mode="after")
    def _hot_ones_differ(self) -> Self:
        twice = sorted({e for e in self.hot_experts if self.hot_experts.count(e) > 1})
        if twice:
            raise ValueError(f"hot_experts names {twice[0]} twice: keep one")
        if self.hot_experts_tier is not None and not self.hot_experts:
            raise ValueError(
                f"hot_experts_tier is {self.hot_experts_tier!r} and hot_experts empty: name the "
                "ids, or leave it out"
            )
        return self

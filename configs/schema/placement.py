"""Where experts, KV and collections live."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from configs.schema.section import Name, Section

# What lies in a memory tier. Weights are a chip's own: attention, norms, gates, shared experts;
# embeddings are embedding and vocabulary projection; hot experts are those of `hot_experts`.
What = Literal[
    "weights", "embeddings", "experts", "hot_experts", "activations", "kv", "pool", "collections"
]
Policy = Literal["default", "frozen_in_flash"]


class ExpertPlacement(Section):
    """Which shard holds which experts, the same in every layer. Either a strategy or every shard by
    name.

    contiguous    shard 0 holds the first experts, shard 1 the next ...
    round_robin   expert e is on shard e mod shards
    shards        shard worker ("experts-0") -> expert ids
    """

    strategy: Literal["contiguous", "round_robin"] | None = None
    shards: Mapping[Name, tuple[int, ...]] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.strategy is not None and self.shards is not None:
            raise ValueError("experts has both strategy and shards: keep one")
        return self

    @property
    def chosen_strategy(self) -> Literal["contiguous", "round_robin"]:
        """The strategy where no shards are named."""
        return self.strategy or "contiguous"


class CollectionPlacement(Section):
    """One vector store, spread over all memory servers.

    path      folder of documents, an index made of one by `perfuse index`, or "perfuse-tiny corpus"
    embedder  "hashing" (no model needed) or "minilm"
    """

    path: str
    embedder: Literal["hashing", "minilm"] = "hashing"


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
    reserve       KV that the router reserves for a request: "full", its prompt and its longest
                  answer; "watermark", its prompt and a watermark, as vLLM does: it grows, and who
                  finds no block preempts the newest
    kv_pool       keep shared prefixes in the memory servers as well
    collections   vector store name -> what is in it
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
    hot_experts: tuple[int, ...] = ()
    reserve: Literal["full", "watermark"] = "full"
    kv_pool: bool = False
    collections: Mapping[Name, CollectionPlacement] = Field(default_factory=dict)

    def tier_for(self, what: What) -> str | None:
        """What the scenario says of all machines; None: nothing."""
        tier: str | None = getattr(self, f"{what}_tier")
        return tier

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

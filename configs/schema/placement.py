"""Where experts, KV and collections live."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from configs.schema.section import Name, Section


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
    """kv_tier       memory tier of a chip's device that holds its KV cache; left out, the device's
                     default, where its weights are
    experts_tier  memory tier of a shard's device that holds its experts; left out, the device's
                     default
    reserve       KV that the router reserves for a request: "full", its prompt and its longest
                  answer; "watermark", its prompt and a watermark, as vLLM does: it grows, and who
                  finds no block preempts the newest
    kv_pool       keep shared prefixes in the memory servers as well
    collections   vector store name -> what is in it
    """

    experts: ExpertPlacement = ExpertPlacement()
    kv_tier: str | None = None
    experts_tier: str | None = None
    reserve: Literal["full", "watermark"] = "full"
    kv_pool: bool = False
    collections: Mapping[Name, CollectionPlacement] = Field(default_factory=dict)

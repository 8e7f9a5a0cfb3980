"""Router and memory server: retrieval shards, filled and searched."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from workers.memory.hit import Hit
from workers.wire.kind import ENVELOPE_BYTES, Kind, Reply, kind
from workers.wire.roles import (
    Count,
    Flag,
    Moment,
    Role,
    Tensor,
    Text,
    Texts,
    WirePrecision,
    column,
    nested_all,
    plain,
)


def no_ids() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@kind("shard_create")
@dataclass(frozen=True, slots=True)
class ShardCreate(Kind[Reply]):
    """An empty part of a vector store, or the one that a restart finds on the disk.

    index   see `IndexChoice.to_plain`; nothing for an exact scan
    """

    store: Text
    dim: Count
    index: Annotated[dict[str, Any], plain()] = field(default_factory=dict)


@kind("shard_size")
@dataclass(frozen=True, slots=True)
class ShardSize(Kind[Any]):
    """What a part holds now."""

    num_passages: Moment
    num_bytes: Moment


@kind("shard_add")
@dataclass(frozen=True, slots=True)
class ShardAdd(Kind[ShardSize]):
    """Passages with their vectors [n, dim]; answered when a crash will not lose them.

    preloaded   written before the cluster started: costs nothing now
    """

    store: Text
    passage_id: Annotated[NDArray[np.int64], column(8)]
    texts: Texts
    file_ids: Texts
    vectors: Tensor
    preloaded: Flag

    def wire_bytes(self, precision: WirePrecision) -> int:
        return ENVELOPE_BYTES if self.preloaded else Kind.wire_bytes(self, precision)


@kind("shard_take_back")
@dataclass(frozen=True, slots=True)
class ShardTakeBack(Kind[ShardSize]):
    """Let go of a file, or of an addition that failed: passage ids from `first_id` on. None comes
    again.
    """

    store: Text
    first_id: Moment
    num_passages: Moment


@kind("shard_deleted")
@dataclass(frozen=True, slots=True)
class ShardDeleted(Kind[Any]):
    """Whether the part was there."""

    known: Flag


@kind("shard_delete")
@dataclass(frozen=True, slots=True)
class ShardDelete(Kind[ShardDeleted]):
    """Forget a store's part, and its files."""

    store: Text


def _hits() -> Role:
    one = nested_all(Hit)
    return Role(
        "body",
        lambda queries, precision: sum(one.charge(hits, precision) for hits in queries),
        lambda queries: [one.to_json(hits) for hits in queries],
        lambda queries: tuple(one.from_json(hits) for hits in queries),
    )


@kind("hits")
@dataclass(frozen=True, slots=True)
class Hits(Kind[Any]):
    """For each query the best passages of a part, best first."""

    hits: Annotated[tuple[tuple[Hit, ...], ...], _hits()]


@kind("search")
@dataclass(frozen=True, slots=True)
class Search(Kind[Hits]):
    """The best `top_k` passages of this part for each of q queries, [q, dim].

    first, stop   only passages count whose ids are from one of `first` to before its `stop`; where
                  there is none, all do
    """

    store: Text
    top_k: Count
    queries: Tensor
    first: Annotated[NDArray[np.int64], column(8)] = field(default_factory=no_ids)
    stop: Annotated[NDArray[np.int64], column(8)] = field(default_factory=no_ids)


@kind("shard_texts")
@dataclass(frozen=True, slots=True)
class ShardTexts(Kind[Any]):
    """Passages as they are, by id."""

    passage_id: Annotated[NDArray[np.int64], column(8)]
    texts: Texts


@kind("shard_read")
@dataclass(frozen=True, slots=True)
class ShardRead(Kind[ShardTexts]):
    """The texts of passages from `first_id` on, as many of them as this part has."""

    store: Text
    first_id: Moment
    num_passages: Moment


@kind("memory_state_is")
@dataclass(frozen=True, slots=True)
class MemoryStateIs(Kind[Any]):
    """What a memory server holds."""

    stores: Annotated[dict[str, int], plain()]
    store_bytes: Moment
    pool_blocks: Moment
    pool_bytes: Moment
    pool_pinned: Moment


@kind("memory_state")
@dataclass(frozen=True, slots=True)
class MemoryState(Kind[MemoryStateIs]):
    """How is the memory server?"""

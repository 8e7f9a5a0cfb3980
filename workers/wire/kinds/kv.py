"""KV blocks on their way: from prefill to decode, and into and out of the memory servers' pool."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from workers.wire.kind import A_co, Kind, Reply, kind
from workers.wire.roles import Count, KvBytes, Moment, Role, WirePrecision, column, fact, free

Index = Annotated[NDArray[np.int64], column(4)]
Checksums = Annotated[NDArray[np.uint64], column(8)]
# Content hashes, uint8 [block, 16].
Hashes = Annotated[NDArray[np.uint8], column(1)]


# What both ends know and a real system's checksum of the message would cover.
Whose = Annotated[int, Role("body", free)]
# What is known to both ends, and then costs nothing, unless they keep KV in different forms.
PieceTokens = Annotated[int | None, fact(4)]
Numbers = Annotated[str | None, fact(1)]


class OfKv(Kind[A_co]):
    """Carries KV in `numbers`, which are the cluster's own where it is None."""

    __slots__ = ()

    def wire_bytes(self, precision: WirePrecision) -> int:
        return super().wire_bytes(precision.of_kv(getattr(self, "numbers", None)))


@kind("kv_blocks")
@dataclass(frozen=True, slots=True)
class KvBlocks(OfKv[Reply]):
    """Some of a sequence's KV: logical index and checksum of each block, blocks of all layers.

    size      tokens of each, where that is not the receiver's: pieces of its blocks, then, which
              `index` counts
    numbers   in which they are, where these are not the cluster's
    thin      of layers alone that have no window: those that have one meet none of these tokens any
              more (`configs.sliding`)
    """

    index: Index
    checksum: Checksums
    blocks: KvBytes
    size: PieceTokens = None
    numbers: Numbers = None
    thin: Annotated[bool | None, fact(1)] = None


@kind("start")
@dataclass(frozen=True, slots=True)
class Start(Kind[Reply]):
    """All of a sequence's KV is there: decode from this token on.

    prefilled_ns   when the last of it was computed
    approximate_from   position from which on it is approximate; None: all is exact
    num_taken   leading tokens of which none was refused; the others are computed there. None: all
    whose       see `workers.kv.identity.Owner.number`
    """

    token: Count
    prefilled_ns: Moment
    approximate_from: Annotated[int | None, fact(4)] = None
    num_taken: Annotated[int | None, fact(4)] = None
    whose: Whose = 0


@kind("pool_blocks")
@dataclass(frozen=True, slots=True)
class PoolBlocks(OfKv[Any]):
    """The leading run of the wanted blocks that the pool has, perhaps none."""

    index: Index
    checksum: Checksums
    blocks: KvBytes
    numbers: Numbers = None


@kind("pool_get")
@dataclass(frozen=True, slots=True)
class PoolGet(Kind[PoolBlocks]):
    """The blocks with these content hashes, in prefix order. `numbers`: see `OfKv`."""

    hash: Hashes
    numbers: Numbers = None


@kind("pool_stored")
@dataclass(frozen=True, slots=True)
class PoolStored(Kind[Any]):
    """How many blocks of a put are new, and how many found no room."""

    new: Count
    refused: Count


@kind("pool_put")
@dataclass(frozen=True, slots=True)
class PoolPut(OfKv[PoolStored]):
    """Blocks to keep for all, by content hash, in prefix order."""

    hash: Hashes
    checksum: Checksums
    blocks: KvBytes
    numbers: Numbers = None


@kind("pool_drop")
@dataclass(frozen=True, slots=True)
class PoolDrop(Kind[Reply]):
    """Blocks with these content hashes are not to be trusted: give them to nobody."""

    hash: Hashes

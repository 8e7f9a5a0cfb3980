"""KV of running sequences that lies with memory servers, and attention beside it: blocks out once,
then queries out and parts back; or layers of blocks back, for the chip to attend itself.

A sequence is a number of its chip's: another one each time that its blocks are given away.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from workers.hardware.energy.phase import Cause, Phase
from workers.wire.kind import Kind, Reply, kind
from workers.wire.kinds.kv import Checksums, Index
from workers.wire.roles import Count, Flag, KvBytes, Queries, column, fact, spent_for

Number = Annotated[int, fact(8)]
ComputedFor = Annotated[Cause, spent_for()]
Numbers = Annotated[NDArray[np.uint64], column(8)]
Counts = Annotated[NDArray[np.int64], column(4)]


@kind("near_stored")
@dataclass(frozen=True, slots=True)
class NearStored(Kind[Any]):
    """Whether there was room for all blocks of a put; else none is kept."""

    kept: Flag


@kind("near_put")
@dataclass(frozen=True, slots=True)
class NearPut(Kind[NearStored]):
    """Full blocks of a sequence, of all layers, by their logical indexes."""

    sequence: Number
    index: Index
    checksum: Checksums
    blocks: KvBytes


@kind("near_drop")
@dataclass(frozen=True, slots=True)
class NearDrop(Kind[Reply]):
    """Nobody will ask for these sequences again."""

    sequence: Numbers


@kind("near_parts")
@dataclass(frozen=True, slots=True)
class NearParts(Kind[Any]):
    """For each sequence how many blocks were attended to; for each query what came of it, float32:
    out [T, N, D] and the log-sum-exp of its scores [T, N].
    """

    num_blocks: Counts
    out: Queries
    lse: Queries
    computed_for: ComputedFor = Phase.SERVING


@kind("near_attend")
@dataclass(frozen=True, slots=True)
class NearAttend(Kind[NearParts]):
    """Queries of one layer, sequence after sequence, float32 [T, N, D].

    limit   blocks before this logical index are attended to
    count   queries of each sequence
    """

    layer: Count
    sequence: Numbers
    limit: Counts
    count: Counts
    queries: Queries
    computed_for: ComputedFor = Phase.SERVING


@kind("near_blocks")
@dataclass(frozen=True, slots=True)
class NearBlocks(Kind[Any]):
    """For each sequence how many blocks there are; one layer of each, uint8 [blocks, bytes]."""

    num_blocks: Counts
    blocks: KvBytes
    computed_for: ComputedFor = Phase.SERVING


@kind("near_fetch")
@dataclass(frozen=True, slots=True)
class NearFetch(Kind[NearBlocks]):
    """One layer of the blocks that `NearAttend` would attend to."""

    layer: Count
    sequence: Numbers
    limit: Counts
    computed_for: ComputedFor = Phase.SERVING

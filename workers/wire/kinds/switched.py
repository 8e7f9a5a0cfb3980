"""Tokens and their sums by way of a switch, which copies the ones and adds the others.

    chip ── multicast ──▶ switch ── relayed ──▶ each shard that a token has an expert on
    chip ◀── reduced ──── switch ◀── partial ── each of them

All go one way, at most once: what is lost is a call without an answer, and repeated as such, from
chip to shard and back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from workers.hardware.energy.phase import Cause, Phase
from workers.wire.kind import Kind, kind
from workers.wire.kinds.experts import Dispatch, MaybeGather
from workers.wire.roles import Array, Count, Moment, Role, Rows, Sums, column, free, spent_for

Requests = Annotated[NDArray[np.uint64], column(8)]
Positions = Annotated[NDArray[np.int64], column(4)]
ComputedFor = Annotated[Cause, spent_for()]
# Who is meant is said by the numbers of the calls, which are charged.
Names = Annotated[tuple[str, ...], Role("body", free, list, tuple)]
Calls = Annotated[tuple[int, ...], Role("body", lambda value, _: 8 * len(value), list, tuple)]
# What an envelope holds that is passed on as it is.
Envelope = Annotated[int, Role("body", free)]
Asker = Annotated[str, Role("body", free)]


@kind("multicast")
@dataclass(frozen=True, slots=True)
class Multicast(Kind[Any]):
    """T tokens of one layer, each once; the switch sends each to the shards that hold its experts.

    owners     index of the shard that is asked for each expert, [T, K]; -1: nobody
    shards, calls, concluded   who they are, and of the call to each its number, and below which the
               chip's calls to it are concluded
    until_ns   deadline of the calls
    """

    layer: Count
    request: Requests
    position: Positions
    experts: Annotated[NDArray[np.int32], column(4)]
    weights: Annotated[NDArray[np.float32], column(4)]
    owners: Annotated[NDArray[np.int16], column(2)]
    hidden: Rows
    shards: Names
    calls: Calls
    concluded: Annotated[tuple[int, ...], Role("body", free, list, tuple)]
    until_ns: Envelope
    gather: MaybeGather = None
    computed_for: ComputedFor = Phase.SERVING


@kind("relayed")
@dataclass(slots=True)
class Relayed(Dispatch):
    """A dispatch that a chip sent by way of a switch: it costs what it costs from the chip.

    asker, epoch, call, concluded, deadline_ns   what its envelope says
    """

    asker: Asker = ""
    epoch: Envelope = 0
    call: Envelope = 0
    concluded: Envelope = 0
    deadline_ns: Envelope = 0


@kind("partial")
@dataclass(frozen=True, slots=True)
class Partial(Kind[Any]):
    """A shard's weighted sums [t, H] of one dispatch, each with its token's identity.

    asker, epoch   whose call it answers     call   its number
    """

    request: Requests
    position: Positions
    sums: Sums
    gather: MaybeGather
    call: Moment
    asker: Asker
    epoch: Envelope
    computed_for: ComputedFor = Phase.SERVING


@kind("reduced")
@dataclass(frozen=True, slots=True)
class Reduced(Kind[Any]):
    """Sums of several shards, one row a token.

    calls      that are answered             shards    of whom
    num_bytes  that a link is charged for the sums: each row once, as a switch sends it that adds
    terms      what is carried: the sums of each, by their places in `shards`, so that whoever adds
               them does so in the order of the shards
    """

    request: Requests
    position: Positions
    calls: Calls
    shards: Names
    epoch: Envelope
    num_bytes: Annotated[int, Role("body", lambda value, _: value, is_price=True)]
    terms: Annotated[Mapping[str, Array], Role("tensors", free)]
    computed_for: ComputedFor = Phase.SERVING

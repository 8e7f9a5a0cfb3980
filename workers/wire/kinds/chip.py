"""Router and chip: what to compute, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from workers.model.sampling_params import SamplingParams
from workers.wire.kind import Kind, Reply, kind
from workers.wire.roles import (
    Array,
    Count,
    Flag,
    Moment,
    Role,
    Text,
    Texts,
    TokenIds,
    arrays_by_name,
    bookkeeping,
    column,
    free,
    listed,
    nested,
    one_byte_each,
    plain,
)

Sampling = Annotated[SamplingParams, nested(SamplingParams)]
Times = Annotated[Mapping[str, Any], bookkeeping()]


@kind("reserved")
@dataclass(frozen=True, slots=True)
class Reserved(Kind[Any]):
    """Whether there is room, and the first block that the chip does not have yet."""

    room: Flag
    first_block: Count


@kind("reserve")
@dataclass(frozen=True, slots=True)
class Reserve(Kind[Reserved]):
    """Room for a sequence whose KV will come, and for the tokens after it.

    deadline_ns   point in emulated time after which nobody wants the sequence, here as below
    sent_ids      tokens of its answer that are known: the next one is wanted
    """

    prompt_ids: TokenIds
    sampling: Sampling
    deadline_ns: Moment
    sent_ids: TokenIds = ()


@kind("prefill")
@dataclass(frozen=True, slots=True)
class Prefill(Kind[Reply]):
    """Compute a prompt and its first token; its KV goes to `decode_chip` from `first_block` on."""

    prompt_ids: TokenIds
    sampling: Sampling
    decode_chip: Text
    first_block: Count
    deadline_ns: Moment
    sent_ids: TokenIds = ()


@kind("generate")
@dataclass(frozen=True, slots=True)
class Generate(Kind[Reply]):
    """Compute a prompt and all its tokens, in place."""

    prompt_ids: TokenIds
    sampling: Sampling
    deadline_ns: Moment
    sent_ids: TokenIds = ()


Prompted = Reserve | Prefill | Generate


@kind("aborted")
@dataclass(frozen=True, slots=True)
class Aborted(Kind[Any]):
    """Whether the chip knew the sequence."""

    known: Flag


@kind("abort")
@dataclass(frozen=True, slots=True)
class Abort(Kind[Aborted]):
    """Forget a sequence, whatever its state."""


@kind("tokens")
@dataclass(frozen=True, slots=True)
class Tokens(Kind[Reply]):
    """What a chip sampled, one row a token, and how sequences ended: of one step, or of several
    that leave together, in their order.

    stages     "prefill", "decode" or "both"        cached   prompt tokens found in a KV cache
    finished   request -> why, with its last row    failed   request -> error (`workers.errors`)
    logprobs   row -> {"logprob", "top"}, where it was asked for
    times      request -> nanoseconds by phase, of those that ended here
    logits     row -> [V] float32, where it was asked for
    approximate   rows of tokens that lack a share, or follow from one that does
    """

    requests: Texts
    stages: Annotated[tuple[str, ...], one_byte_each()]
    position: Annotated[NDArray[np.int64], column(4)]
    token: Annotated[NDArray[np.int64], column(4)]
    cached: Annotated[NDArray[np.int64], column(4)]
    finished: Annotated[Mapping[str, str], plain()]
    failed: Annotated[Mapping[str, Any], plain()]
    logprobs: Annotated[Mapping[str, Any], plain()]
    times: Times
    logits: Annotated[Mapping[str, Array], arrays_by_name("tensors")]
    approximate: Annotated[tuple[int, ...], listed(4)] = ()


@kind("stretch")
@dataclass(frozen=True, slots=True)
class Stretch(Kind[Reply]):
    """What a folded chip sampled in several steps of one batch, told together (`workers.fold`): a
    row a sequence, n tokens each. The rest is as in `Tokens`.

    position   of the first of a row's tokens        token   [rows, n]
    late_ns    how long before it is told each step ended, [n]
    """

    requests: Texts
    stages: Annotated[tuple[str, ...], one_byte_each()]
    position: Annotated[NDArray[np.int64], column(4)]
    token: Annotated[NDArray[np.int64], column(4)]
    cached: Annotated[NDArray[np.int64], column(4)]
    finished: Annotated[Mapping[str, str], plain()]
    times: Times
    late_ns: Annotated[tuple[int, ...], Role("body", free, list, tuple)]


@kind("chip_state_is")
@dataclass(frozen=True, slots=True)
class ChipStateIs(Kind[Any]):
    """Counts of one chip: queue, blocks, prefix cache, and what it holds for requests."""

    counts: Annotated[Mapping[str, int], plain()]


@kind("chip_state")
@dataclass(frozen=True, slots=True)
class ChipState(Kind[ChipStateIs]):
    """How is the chip?"""

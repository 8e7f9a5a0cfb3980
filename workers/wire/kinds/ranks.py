"""Between the ranks of a chip: what its leader orders, and what passes between ranks and stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from workers.hardware.energy.phase import Cause
from workers.wire.kind import Kind, Reply, kind
from workers.wire.kinds.kv import Checksums, Index, OfKv, PieceTokens
from workers.wire.kinds.kv import Numbers as KvNumbers
from workers.wire.roles import (
    Count,
    KvBytes,
    Moment,
    RowsOfIds,
    Sums,
    Text,
    Texts,
    TokenIds,
    listed,
    plain,
    spent_for,
)

Numbers = Annotated[tuple[int, ...], listed(4)]
# Request -> error, or shard -> rows and error (`workers.errors`).
Failures = Annotated[Mapping[str, Any], plain()]
# For our energy reports alone.
ComputedFor = Annotated[Cause, spent_for()]
Prompts = Annotated[tuple[int, ...], listed(0)]


@kind("step")
@dataclass(frozen=True, slots=True)
class StepOrder(Kind[Reply]):
    """The leader's next step, and what else changed since its last order.

    generation, number   of this order: a rank follows them in order
    step        its number
    start, count   of each request: its first new token, and how many
    known, blocks  of its blocks so many are as told before; the ids of those that follow
    token_ids   new tokens of all requests, for the first pipeline stage; others get none
    prompt      tokens of each request's prompt, for our reports
    ended       requests that are gone
    """

    generation: Count
    number: Count
    step: Count
    requests: Texts
    start: Numbers
    count: Numbers
    known: Numbers
    blocks: RowsOfIds
    token_ids: TokenIds
    prompt: Prompts
    ended: Texts


@kind("expect_kv")
@dataclass(frozen=True, slots=True)
class ExpectKv(Kind[Reply]):
    """KV of a request will come, for these blocks, in logical order."""

    generation: Count
    number: Count
    blocks: Numbers
    ended: Texts


@kind("forget")
@dataclass(frozen=True, slots=True)
class Forget(Kind[Reply]):
    """Requests that are gone, where no other order follows soon."""

    generation: Count
    number: Count
    ended: Texts


@kind("share")
@dataclass(frozen=True, slots=True)
class Share(Kind[Reply]):
    """What a tensor-parallel rank has for the others: its share of sums over all of them, or whole
    sums of some rows.

    number   of this exchange in the step
    failed   shards that rows lack, where there are any: their rows, and why
    """

    step: Count
    number: Count
    rows: Sums
    failed: Failures
    computed_for: ComputedFor


@kind("stage_rows")
@dataclass(frozen=True, slots=True)
class StageRows(Kind[Reply]):
    """The residual stream at the end of a pipeline stage, of one micro-batch, in the numbers of
    sums: it is not rounded as rows to experts are. No rows where all its requests failed.

    approximate   requests with a row of which a share of experts was replaced
    """

    step: Count
    number: Count
    rows: Sums
    failed: Failures
    computed_for: ComputedFor
    approximate: Texts = ()


@kind("step_failed")
@dataclass(frozen=True, slots=True)
class StepFailed(Kind[Reply]):
    """A rank could not go on: nobody need wait for its part of this step."""

    step: Count
    error: Failures


@kind("kv_send")
@dataclass(frozen=True, slots=True)
class KvSend(Kind[Reply]):
    """Send a request's blocks to the ranks of another chip; answered when all have them.

    first, blocks   logical index of the first of them, and their ids
    until_ns        after which nobody wants them
    num             pieces, and `first` the first of them, where chips keep blocks in other forms
    """

    destination: Text
    first: Count
    blocks: Numbers
    until_ns: Moment
    num: PieceTokens = None


@kind("kv_part")
@dataclass(frozen=True, slots=True)
class KvPart(OfKv[Reply]):
    """Some layers and heads of some of a sequence's KV: see `KvBlocks`.

    layer, head   the first ones, as the whole model counts them
    """

    index: Index
    checksum: Checksums
    layer: Count
    head: Count
    blocks: KvBytes
    size: PieceTokens = None
    numbers: KvNumbers = None

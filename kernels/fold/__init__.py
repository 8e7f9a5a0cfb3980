"""Steps of many like chips beside many like expert shards: their times, to the ns, as the unfolded
virtual world has them, without an object for each node and an envelope for each message.

    engine = make_engine(num_chips, owners_E, terms, exchanges, slow_S)
    engine.begin(chip, start_ns, launches_ns, Chosen(experts))    # a stretch of steps
    for ended in engine.advance(until_ns): ...                    # Ended(chip, step, end_ns, ...)

A chip goes through its steps one after the other: a launch, then for each exchange a message to
each shard that owns one of its tokens' experts, and when the last of them has answered the next
launch; the last launch ends the step.

    launches_ns[step]   ▓0▓┄ exchange 0 ┄▓1▓┄ exchange 1 ┄ ... ┄ exchange X-1 ┄▓X▓ end of the step

A shard takes all that waits when it is free, one launch for each exchange's index (the layer),
in the order of first arrival, and answers each message when its launch is done. Messages leave a
node one after the other in the order of sending (a chip's shard by shard, in the order of their
numbers), and enter one in the order of their first bytes; of those whose first bytes come at one
instant, in the order in which they were sent. Both engines keep the order within an instant that
the virtual world's clock keeps, so that also ties fall as they do there.

`PlainEngine` and `FoldEngine` (native) have the same methods and name the same times:

begin(chip, start_ns, launches_ns, choices)
    A stretch, for a chip that has none. start_ns: from `now_ns` on. launches_ns: [steps, X + 1]
    int64. choices: `Chosen` or `Drawn`. Raises ValueError, with nothing begun, on what cannot be.
cut(chip)
    Its stretch ends with the step that is in progress at `now_ns`; a chip without one is left
    alone.
advance(until_ns, each_step) -> [Ended]
    Go on to until_ns (all of that instant included) or, before, to the end of the first instant
    at which a stretch ended (`Ended.is_last`), or with each_step a step: whoever asks may begin
    another one there. None: on
    to the next such end, or until nothing is left to happen. Steps in the order of their ends; of
    those that end within a stretch, some may have ended at earlier instants of this call.
now_ns
    How far it has come: until_ns, or the instant at which a stretch ended.
next_ns() -> int | None
    A time before which nothing happens; None: nothing will, unless somebody begins.
add_pool(experts_XPK) -> int
    Tokens with their experts, int32 [X or 1, P, K], of which `Drawn` draws.
under_way(chip, now_ns) -> UnderWay | None
    The launch that a chip's stretch is in, or its next one. now_ns, here and below: of who asks,
    from `now_ns` on and not beyond what comes next.
hold(chip, now_ns, until_ns, slow)
    Others have its machine: a launch that begins before until_ns takes slow times as much longer as
    that is away. That which is under way is not changed, nor the first of a stretch that has begun.
lengthen(chip, now_ns, by_ns)
    The launch that is under way takes longer.
leave(chip, now_ns, num_bytes) -> end_ns
    Another message than a dispatch goes out by its link, behind all that were sent before it.
come(chip, now_ns, num_bytes, limit_per_s) -> end_ns
    Another than an answer comes in, its first byte now; no faster than the limit, 0: as the link.
counts() -> Counts
    Messages, rows, busy times, batches, and tokens by expert; nothing of others.

Not foldable, so whoever folds refuses it: a chip and a shard on one node (messages between them
cross no link), links with message curves or shared fairly, inner links, copies of experts, experts
that are read ahead, and a shard's launches that could meet anything else on its machine.

Letters: E experts, S shards, C chips, X exchanges of a step, T tokens, K experts a token.
"""

from kernels.fold.engine import FoldEngine, available
from kernels.fold.plain import PlainEngine
from kernels.fold.terms import (
    NOBODY,
    Chosen,
    Counts,
    Drawn,
    EndCounts,
    Ended,
    Link,
    Size,
    Term,
    Terms,
    UnderWay,
)

__all__ = [
    "NOBODY",
    "Chosen",
    "Counts",
    "Drawn",
    "EndCounts",
    "Ended",
    "Engine",
    "FoldEngine",
    "Link",
    "PlainEngine",
    "Size",
    "Term",
    "Terms",
    "UnderWay",
    "make_engine",
]

Engine = FoldEngine | PlainEngine
# The native one where there is one.
make_engine: type[Engine] = FoldEngine if available else PlainEngine

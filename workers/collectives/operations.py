"""What a rank asks of its group: arrays in, and how its result is put together.

Rows are [T, ...] as `numerics.answered` sends them, cut without regard to rows: an entry merges
with the same entry of other ranks alone. What a link is charged is what the numerics say that sums
of T rows cost, cut as evenly.
"""

from collections.abc import Sequence

import numpy as np

from configs.schema.collectives import Algorithm
from workers.collectives.collective import Collective
from workers.collectives.group import Group
from workers.collectives.held import Held
from workers.collectives.named import schedule_of
from workers.collectives.schedule import even_parts
from workers.hardware.energy.phase import Cause, Phase
from workers.model.program import Rows, Sums
from workers.wire.roles import Array, row_width


def charged_bytes(group: Group, rows_T: Rows) -> int:
    """What all of these rows cost a link, as sums."""
    return len(rows_T) * group.numerics.sum_bytes(row_width(rows_T))


async def all_reduce(
    group: Group, algorithm: Algorithm, partial_T: Rows, cause: Cause = Phase.SERVING
) -> Collective:
    """The sum over all ranks [T, ...], in the type in which sums merge; the same bits on each."""

    def finish(held: Held) -> Sums:
        return _joined(sums_T, [held.sum(chunk) for chunk in range(schedule.num_chunks)])

    schedule = schedule_of("all_reduce", algorithm, group.num_ranks)
    sums_T = group.numerics.zero(partial_T)
    held = _cut(group, partial_T, schedule.num_chunks)
    return await group.begin("all_reduce", schedule, held, finish, cause)


async def reduce_scatter(
    group: Group, algorithm: Algorithm, partial_T: Rows, cause: Cause = Phase.SERVING
) -> Collective:
    """This rank's part of the sum over all ranks, 1-D: of the n even parts of all entries the one
    with its number.
    """

    def finish(held: Held) -> Sums:
        return held.sum(group.me)

    schedule = schedule_of("reduce_scatter", algorithm, group.num_ranks)
    held = _cut(group, partial_T, schedule.num_chunks)
    return await group.begin("reduce_scatter", schedule, held, finish, cause)


async def all_gather(
    group: Group, algorithm: Algorithm, part: Array, num_bytes: int, cause: Cause = Phase.SERVING
) -> Collective:
    """The parts of all ranks, in their order, as they are; they may differ in size.

    num_bytes   that a link is charged for this one
    """

    def finish(held: Held) -> list[Array]:
        return [held.terms[rank][rank] for rank in range(group.num_ranks)]

    schedule = schedule_of("all_gather", algorithm, group.num_ranks)
    held = Held(group.numerics, group.num_ranks)
    held.put(group.me, group.me, part, num_bytes)
    return await group.begin("all_gather", schedule, held, finish, cause)


async def all_to_all(
    group: Group,
    algorithm: Algorithm,
    parts: Sequence[Array],
    num_bytes: Sequence[int],
    cause: Cause = Phase.SERVING,
) -> Collective:
    """What each rank had for this one, in their order.

    parts       for each rank, this one included
    num_bytes   that a link is charged for each
    """
    num_ranks, me = group.num_ranks, group.me

    def finish(held: Held) -> list[Array]:
        return [held.terms[num_ranks * rank + me][rank] for rank in range(num_ranks)]

    schedule = schedule_of("all_to_all", algorithm, num_ranks)
    held = Held(group.numerics, num_ranks)
    for to, (part, size) in enumerate(zip(parts, num_bytes, strict=True)):
        held.put(num_ranks * me + to, me, part, size)
    return await group.begin("all_to_all", schedule, held, finish, cause)


async def broadcast(
    group: Group, algorithm: Algorithm, part: Array | None, num_bytes: int = 0,
    cause: Cause = Phase.SERVING,
) -> Collective:  # fmt: skip
    """What rank 0 has, at each rank. All others give None."""
    assert (part is None) == (group.me != 0), "rank 0 has it, and nobody else"

    def finish(held: Held) -> Array:
        return held.terms[0][0]

    schedule = schedule_of("broadcast", algorithm, group.num_ranks)
    held = Held(group.numerics, group.num_ranks)
    if part is not None:
        held.put(0, 0, part, num_bytes)
    return await group.begin("broadcast", schedule, held, finish, cause)


async def reduce(
    group: Group, algorithm: Algorithm, partial_T: Rows, cause: Cause = Phase.SERVING
) -> Collective:
    """The sum over all ranks at rank 0, in the type in which sums merge; None at all others."""

    def finish(held: Held) -> Sums | None:
        return _joined(sums_T, [held.sum(0)]) if group.me == 0 else None

    schedule = schedule_of("reduce", algorithm, group.num_ranks)
    sums_T = group.numerics.zero(partial_T)
    held = _cut(group, partial_T, schedule.num_chunks)
    return await group.begin("reduce", schedule, held, finish, cause)


def _cut(group: Group, partial_T: Rows, num_chunks: int) -> Held:
    """This rank's terms of all chunks. Views: whoever gives a share changes it no more."""
    answered = np.ascontiguousarray(group.numerics.answered(partial_T))
    entries = answered.reshape(-1)
    sizes = even_parts(charged_bytes(group, partial_T), num_chunks)
    held = Held(group.numerics, group.num_ranks)
    for chunk, (begin, end) in enumerate(even_parts(entries.size, num_chunks)):
        num_bytes = sizes[chunk][1] - sizes[chunk][0]
        held.put(chunk, group.me, entries[begin:end], num_bytes)
    return held


def _joined(sums_T: Sums, parts: Sequence[Sums]) -> Sums:
    """Fill sums with parts of all their entries."""
    entries = sums_T.reshape(-1)
    at = 0
    for part in parts:
        entries[at : at + part.size] = part
        at += part.size
    return sums_T

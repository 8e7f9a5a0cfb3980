"""Experts with several copies, of which one is gone: the tokens that it had are sent to others.

Each token goes to a copy of each of its experts, as `copies` has it among those that live. What
nobody else has is missed by its own tokens, for the reason for which the shard itself was.
"""

from workers.errors import PeerDead, PerfuseError
from workers.experts.answers import Answers
from workers.experts.handle import DispatchHandle, Lost
from workers.experts.routing import RoutingTable
from workers.experts.spread import spread_again
from workers.experts.stand_ins import StandIns
from workers.experts.tokens import Missing
from workers.wire.port import Port


async def ask_other_copies(
    port: Port, stand_ins: StandIns, handle: DispatchHandle, answers: Answers
) -> None:
    """Until all has an answer that can have one, as long as it is time. Whoever is asked may die,
    too; each time it is one more of them.
    """
    table = handle.table
    assert table is not None, "nobody has copies"
    for _ in table.shards:
        if not (lost := handle.take_lost()):
            break
        living = stand_ins.living(table)
        for one in lost:
            await _ask(port, stand_ins, living, one, handle)
        handle.in_order()
        await answers.settled(handle)


async def _ask(
    port: Port, stand_ins: StandIns, living: RoutingTable, lost: Lost, handle: DispatchHandle
) -> None:
    """The holders of the same experts, as far as there are any."""
    for shard, of_lost, content in spread_again(living, lost.content):
        rows, other = lost.rows[of_lost], stand_ins.of(shard)
        if not stand_ins.lives(other):
            handle.missing.append(Missing(lost.shard, rows, lost.error))
            continue
        call = content, lost.deadline_ns, lost.request_id
        try:
            pending = await port.post(
                other, content, deadline_ns=lost.deadline_ns, request_id=lost.request_id
            )
        except PeerDead:
            handle.unsent.append(Lost(shard, rows, *call, lost.error))
        except PerfuseError:  # there is no time left
            handle.missing.append(Missing(lost.shard, rows, lost.error))
        else:
            handle.await_sums_of(shard, rows, pending)
            handle.instead[pending] = lost.error

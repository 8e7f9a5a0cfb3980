"""What shards took along that died: asked again of their spares, or of themselves come back.

A part keeps its shard's name and place, whoever answers for it, so the bits are the shard's own.
"""

from dataclasses import replace
from functools import partial

from workers.errors import PeerDead, PerfuseError
from workers.experts.answers import Answers
from workers.experts.handle import DispatchHandle
from workers.experts.stand_ins import StandIns
from workers.wire.calls import Pending
from workers.wire.kinds.experts import Combine
from workers.wire.port import Port


async def ask_again(
    port: Port, stand_ins: StandIns, handle: DispatchHandle, answers: Answers
) -> None:
    """As long as there is somebody who was not asked, and it is time."""
    await _send_unsent(port, stand_ins, handle)
    await answers.settled(handle)
    while True:
        is_asked = False
        for index, (shard, pending) in enumerate(zip(handle.shards, handle.pending, strict=True)):
            if not isinstance(pending.answer, PeerDead):
                continue
            call, other = pending.message, stand_ins.of(shard)
            if not _is_another(stand_ins, other, pending):
                continue
            content = replace(call.content, gather=None)
            try:
                handle.pending[index] = await port.post(
                    other, content, deadline_ns=call.deadline_ns, request_id=call.request_id
                )
            except PerfuseError:
                continue  # it is gone as well, or there is no time left: the shard is missed
            if handle.adding is not None:
                rows = handle.rows_by_shard[index]
                came = partial(handle.adding.came, rows, handle.pending[index])
                handle.pending[index].heard = came
            pending.abandon()
            is_asked = True
        if not is_asked:
            return
        await answers.settled(handle)


def _is_another(stand_ins: StandIns, other: str, asked: Pending[Combine]) -> bool:
    """Somebody else than who was asked, or its next incarnation: a shard that restarts in the
    instant in which it died is gone for nobody but those who had asked it.
    """
    if not stand_ins.lives(other):
        return False
    return other != asked.message.destination or stand_ins.incarnation(other) != asked.peer.epoch


async def _send_unsent(port: Port, stand_ins: StandIns, handle: DispatchHandle) -> None:
    """What could not leave, because its shard died while it waited for its turn."""
    unsent, handle.unsent = handle.unsent, []
    for lost in unsent:
        other = stand_ins.of(lost.shard)
        if not stand_ins.lives(other):
            handle.unsent.append(lost)
            continue
        content = replace(lost.content, gather=None)
        try:
            pending = await port.post(
                other, content, deadline_ns=lost.deadline_ns, request_id=lost.request_id
            )
        except PerfuseError:
            handle.unsent.append(lost)
        else:
            handle.await_sums_of(lost.shard, lost.rows, pending)
            handle.in_order()

"""The chip's half of expert prefetch: it guesses what the next layer will ask for while the experts
of this one work, and tells the shards that hold it.

A hint is best effort: who has no credit for it, or does not answer, is told nothing more.
"""

from workers.errors import PerfuseError
from workers.experts.routing import RoutingTable
from workers.hardware.energy.phase import Cause
from workers.model.pregate import Pregate
from workers.model.program import Experts
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kind import Reply
from workers.wire.kinds.experts import ExpertHint
from workers.wire.port import Port

# Hints on their way at once. More than two layers' come only where shards are slower than that, and
# then a guess would come too late.
GUESSES_MAX = 4


class HintSide:
    """Of one chip."""

    def __init__(self, node: Node, port: Port, pregate: Pregate, timeout_ns: int) -> None:
        self._node, self._port = node, port
        self._pregate, self._timeout_ns = pregate, timeout_ns
        self._num_open = 0

    def after(self, op: Experts, table: RoutingTable, cause: Cause) -> None:
        """A layer's tokens were dispatched: guess for the next one, beside whatever goes on."""
        if self._pregate.knows(op.layer + 1) and self._num_open < GUESSES_MAX:
            self._num_open += 1
            self._node.spawn(self._tell(op, table, cause), "expert hints")

    async def _tell(self, op: Experts, table: RoutingTable, cause: Cause) -> None:
        pending: list[Pending[Reply]] = []
        try:
            numerics = self._node.numerics
            rows_TH = numerics.received(numerics.sent(op.rows_T))
            work = self._pregate.work(len(rows_TH))
            ids = await self._node.hardware.run_for(
                cause, work, self._pregate.guess, op.layer + 1, rows_TH
            )
            for index, shard in enumerate(table.shards):
                held = table.held_by(index, ids)
                if held.size:
                    await self._post(shard, ExpertHint(op.layer + 1, held, cause), pending)
            await self._port.settled(pending)
        finally:
            for one in pending:  # whatever was answered
                one.abandon()
            self._num_open -= 1

    async def _post(self, shard: str, hint: ExpertHint, pending: list[Pending[Reply]]) -> None:
        """A shard that is dead hears nothing; the others do."""
        try:
            posted = self._port.post_now(shard, hint, self._node.clock.now() + self._timeout_ns)
            if posted is None:
                return
            pending.append(posted[0])
            if posted[1] is not None:
                await posted[1]
        except PerfuseError as error:
            self._node.trace.note(self._node.clock.now(), "hint failed", shard, error.message)

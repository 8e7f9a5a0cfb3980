"""A switch that adds: the worker that is a group's member after its ranks."""

from collections.abc import Sequence

from configs.schema.collectives import Operation
from workers.collectives.held import Held
from workers.collectives.member import Collectives
from workers.collectives.named import schedule_of
from workers.errors import PerfuseError
from workers.node import Node
from workers.wire.kinds.collectives import Piece
from workers.wire.message import Message


class ReducingSwitch:
    """It has no share of its own: what it takes part in begins when the first piece of it comes.

    operation   a switch sees pieces alone, so its group does one by it, always
    """

    def __init__(
        self,
        node: Node,
        worker: str,
        group: str,
        ranks: Sequence[str],
        timeout_ns: int,
        operation: Operation = "all_reduce",
    ) -> None:
        self._what = f"{operation} in the network"
        self._schedule = schedule_of(operation, "in_network", len(ranks))
        self._come = node.mailbox(queue=f"pieces at {worker}")
        members = (*ranks, worker)
        self.group = Collectives(node, worker).join(group, members, timeout_ns, len(ranks))
        self.group.on_early = self._come.put
        node.spawn(self._serve(), f"{worker} adds")

    async def _serve(self) -> None:
        while True:
            message: Message[Piece] = await self._come.get()
            piece, group = message.content, self.group
            try:
                if group.is_broken and piece.number >= group.next_number:
                    group.restart(piece.number)
                while piece.number >= group.next_number:
                    held = Held(group.numerics, group.num_ranks)
                    await group.begin(
                        self._what, self._schedule, held, _nothing, piece.computed_for
                    )
            except PerfuseError:
                continue  # its ranks hear of it themselves; a later piece begins anew


def _nothing(_held: Held) -> None:
    """Nobody asks a switch."""

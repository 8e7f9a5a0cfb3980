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
    run_bits    numbers of a group's collectives that differ in these lowest bits alone are of one
                run: between two runs its ranks may have lost each other, and each begins with 0s
    """

    def __init__(
        self,
        node: Node,
        collectives: Collectives,
        worker: str,
        group: str,
        ranks: Sequence[str],
        timeout_ns: int,
        operation: Operation = "all_reduce",
        run_bits: int = 0,
    ) -> None:
        self._what = f"{operation} in the network"
        self._schedule = schedule_of(operation, "in_network", len(ranks))
        self._come, self._run_bits = node.mailbox(queue=f"pieces at {worker}"), run_bits
        members = (*ranks, worker)
        self.group = collectives.join(group, members, timeout_ns, len(ranks))
        self.group.on_early = self._come.put
        node.spawn(self._serve(), f"{worker} adds")

    async def _serve(self) -> None:
        while True:
            message: Message[Piece] = await self._come.get()
            piece, group = message.content, self.group
            try:
                self._begin_run(piece.number)
                while piece.number >= group.next_number:
                    held = Held(group.numerics, group.num_ranks)
                    await group.begin(
                        self._what, self._schedule, held, _nothing, piece.computed_for
                    )
            except PerfuseError:
                continue  # its ranks hear of it themselves; a later piece begins anew

    def _begin_run(self, number: int) -> None:
        """Where its ranks have begun anew, or what they did last has failed."""
        group, first = self.group, number >> self._run_bits << self._run_bits
        is_new = self._run_bits > 0 and first > group.next_number
        if number >= group.next_number and (is_new or group.is_broken):
            group.restart(max(first, group.next_number))


def _nothing(_held: Held) -> None:
    """Nobody asks a switch."""

"""Outputs on their way to whoever reads them: one line a reader, in order, nothing twice.

The line carries what the state's outbox holds, and says when the reader has heard it.
"""

from collections.abc import Callable, Iterator, Sequence

from cluster.router.machine.actions import Said
from cluster.router.wire import Wire
from workers.host.mailbox import Mailbox
from workers.node import Node
from workers.wire.line import BEHIND_MAX, until_heard

# Alternatives to tokens in one message: to write so many holds an event loop for some 15 ms. Only
# outputs that have any are counted.
ALTERNATIVES_MAX = 2048

# Told of how many outputs were acknowledged (True) or given up (False), the oldest first.
OnTold = Callable[[str, int, bool], None]


class ReaderLine:
    """One message after the other, each until it is acknowledged; outputs that pile up behind a
    slow one leave together.
    """

    def __init__(self, node: Node, wire: Wire, reader: str, on_told: OnTold) -> None:
        self._node, self._wire, self._reader, self._on_told = node, wire, reader, on_told
        self._waiting: Mailbox[Sequence[Said]] = node.mailbox(BEHIND_MAX)
        self._task = node.spawn(self._send(), f"outputs to {reader}")

    def put(self, said: Sequence[Said]) -> None:
        """Queue them; never waits. Raises QueueFull."""
        self._waiting.put(said)

    def close(self) -> None:
        """Nobody reads any more."""
        self._task.cancel()

    async def _send(self) -> None:
        while True:
            batches = await self._waiting.get_due()
            for said in _pieces([one for batch in batches for one in batch]):
                self._on_told(self._reader, len(said), await self._tell(said))

    async def _tell(self, said: Sequence[Said]) -> bool:
        return await until_heard(
            self._node,
            lambda: self._wire.tell_outputs(self._reader, said),
            "outputs",
            self._reader,
        )


def _pieces(said: list[Said]) -> Iterator[list[Said]]:
    """The same in order, at least one each."""
    piece: list[Said] = []
    alternatives = 0
    for one in said:
        more = sum(len(told.top) for told in one.output.logprobs)
        if piece and alternatives + more > ALTERNATIVES_MAX:
            yield piece
            piece, alternatives = [], 0
        piece.append(one)
        alternatives += more
    yield piece

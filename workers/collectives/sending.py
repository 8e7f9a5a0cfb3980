"""Pieces on their way out, and what becomes of them."""

from collections.abc import Awaitable, Callable
from typing import Any

from workers.errors import PerfuseError
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kinds.collectives import Piece
from workers.wire.port import Port

# Told None when a piece was heard, or why it was not.
Told = Callable[[PerfuseError | None], None]


class Sending:
    """Of one group at one member."""

    def __init__(self, node: Node, port: Port, name: str) -> None:
        self._node, self._port = node, port
        self._posted = node.mailbox()
        node.spawn(self._hear(), f"pieces of {name}")

    def post(self, worker: str, piece: Piece, deadline_ns: int, told: Told) -> None:
        """It leaves now, or in its turn where there is no credit or the wire is full. Raises
        PeerDead.
        """
        posted = self._port.post_now(worker, piece, deadline_ns)
        if posted is None:
            waiting = self._when_free(worker, piece, deadline_ns, told)
            self._node.spawn(waiting, "piece without a credit")
        elif posted[1] is not None:
            self._node.spawn(self._in_turn(*posted, told), "piece in its turn")
        else:  # nearly always: then nobody waits
            self._posted.put((posted[0], told))

    async def _when_free(self, worker: str, piece: Piece, deadline_ns: int, told: Told) -> None:
        try:
            pending = await self._port.post(worker, piece, deadline_ns=deadline_ns)
        except PerfuseError as error:
            told(error)
        else:
            self._posted.put((pending, told))

    async def _in_turn(
        self, pending: Pending[Any], turn: Awaitable[None] | None, told: Told
    ) -> None:
        assert turn is not None, "else nobody waits"
        try:
            await turn
        except PerfuseError as error:
            pending.abandon()
            told(error)
        else:
            self._posted.put((pending, told))

    async def _hear(self) -> None:
        """Pieces that are lost are sent again while somebody waits for their answers: here."""
        while True:
            sent = await self._posted.get_due()
            await self._port.settled([pending for pending, _ in sent])
            for pending, told in sent:
                try:
                    pending.take()
                except PerfuseError as error:
                    told(error)
                else:
                    told(None)

"""Pieces on their way out, and what becomes of them."""

from collections.abc import Awaitable, Callable, Sequence
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
        self._node, self._port, self._task = node, port, f"pieces of {name}"

    def post(self, pieces: Sequence[tuple[str, Piece]], deadline_ns: int, told: Told) -> None:
        """Each leaves now for its worker, or in its turn where there is no credit or the wire is
        full. `told` hears of each once.
        """
        pendings = []
        for worker, piece in pieces:
            try:
                posted = self._port.post_now(worker, piece, deadline_ns)
            except PerfuseError as error:
                told(error)
                continue
            if posted is None:
                self._node.spawn(self._when_free(worker, piece, deadline_ns, told), self._task)
            elif posted[1] is not None:
                self._node.spawn(self._in_turn(*posted, told), self._task)
            else:  # nearly always
                pendings.append(posted[0])
        if pendings:
            self._node.spawn(self._hear(pendings, told), self._task)

    async def _when_free(self, worker: str, piece: Piece, deadline_ns: int, told: Told) -> None:
        try:
            pending = await self._port.post(worker, piece, deadline_ns=deadline_ns)
        except PerfuseError as error:
            told(error)
        else:
            await self._hear([pending], told)

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
            await self._hear([pending], told)

    async def _hear(self, pendings: Sequence[Pending[Any]], told: Told) -> None:
        """What is lost is sent again while somebody waits for its answer: here."""
        await self._port.settled(pendings)
        for pending in pendings:
            try:
                pending.take()
            except PerfuseError as error:
                told(error)
            else:
                told(None)

"""A node's notes to others (see `kinds.notes`, `kinds.left`, `kinds.faults`), beside the emulated
messages.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from workers.errors import PeerDead
from workers.wire.kind import Note
from workers.wire.mail import Mail
from workers.wire.message import Message
from workers.wire.peer import Peer
from workers.wire.turns import quietly

if TYPE_CHECKING:
    import asyncio

Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]
Tell = Callable[[Peer, Note], None]
# Told who wrote it, and what.
Hear = Callable[[Peer, Any], None]


class Notes:
    """knows   whether that incarnation of a peer still counts
    hear    who is told of a note that comes, by its kind
    """

    def __init__(
        self, node: str, epoch: int, mail: Mail, spawn: Spawn, knows: Callable[[Peer], bool]
    ) -> None:
        self._node, self._epoch, self._mail = node, epoch, mail
        self._spawn, self._knows = spawn, knows
        self.hear: dict[type[Note], Hear] = {}

    def heard(self, peer: Peer, note: Note) -> None:
        """A note nobody here listens to says nothing."""
        hear = self.hear.get(type(note))
        if hear is not None:
            hear(peer, note)

    def tell(self, peer: Peer, note: Note) -> None:
        """Nothing to oneself, where nothing is ever lost; nor to who is gone."""
        if peer.node == self._node or not self._knows(peer):
            return
        message = Message(
            note,
            self._node,
            peer.node,
            source_epoch=self._epoch,
            destination_epoch=peer.epoch,
        )
        try:
            turn = self._mail.send(peer.node, message)
        except PeerDead:
            return  # it was about messages that nobody will read
        if turn is not None:
            self._spawn(quietly(turn), note.kind)

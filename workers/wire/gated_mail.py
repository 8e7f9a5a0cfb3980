"""The mail of a node that can be stopped: what its programs would hear meanwhile waits for them.

Messages are taken in as ever: their way in is the link's, and their last step a timer of the node.
"""

from typing import Any

from workers.host.gate import Gate
from workers.wire.kinds.left import Left
from workers.wire.mail import Codec, Mail, OnMessage
from workers.wire.message import Message
from workers.wire.transport.base import OnPeerDead, Transport


class GatedMail(Mail):
    def __init__(self, transport: Transport, codec: Codec, gate: Gate) -> None:
        super().__init__(transport, codec)
        self._gate = gate

    async def start(self, on_message: OnMessage, on_peer_dead: OnPeerDead) -> str:
        gate = self._gate

        def heard(message: Message[Any]) -> None:
            """Only notes are for programs at once; what one link tells another is not."""
            if gate.is_open or message.message_id or isinstance(message.content, Left):
                on_message(message)
            else:
                gate.hold(lambda: on_message(message))

        def died(node: str, reason: str) -> None:
            if gate.is_open:
                on_peer_dead(node, reason)
            else:
                gate.hold(lambda: on_peer_dead(node, reason))

        return await super().start(heard, died)

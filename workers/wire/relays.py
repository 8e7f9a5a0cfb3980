"""Calls that go, or are answered, by way of a third node: what it carries goes one way, at most
once, and the two ends alone see to it that nothing is lost.

    caller ── x ──▶ relay ── x' ──▶ callee      `open_now`, then `called` there
    caller ◀── y ── relay ◀── y' ── callee      `answer_by` there, then `answered`

Whatever does not come is asked for and sent again as for any call, directly.
"""

from typing import Any

from workers.errors import PeerDead
from workers.wire.calls import Pending
from workers.wire.endpoint import Endpoint
from workers.wire.kind import Kind
from workers.wire.message import Message
from workers.wire.roles import WirePrecision


class Relays:
    """Of one worker's endpoint."""

    def __init__(self, endpoint: Endpoint, precision: WirePrecision) -> None:
        self._endpoint, self._precision = endpoint, precision

    def open_now(self, message: Message[Any]) -> Pending[Any] | None:
        """Begin such a call; None where its peer has no credit left. Raises PeerDead."""
        message.charged_bytes = message.content.wire_bytes(self._precision)
        return self._endpoint.outgoing.open_now(message)

    def called(self, message: Message[Any], epoch: int) -> None:
        """Such a call came, of that incarnation of its caller."""
        endpoint = self._endpoint
        peer = endpoint.find_source(message)
        if peer is None or peer.epoch != epoch:
            endpoint.num_dropped += 1
        else:
            endpoint.incoming.called(peer, message)

    async def answer_by(
        self, message: Message[Any], answer: Kind[Any], until_ns: int, via: str, carrier: Kind[Any]
    ) -> None:
        """Answer a call by way of `via`; whoever asks before `until_ns` is told to wait."""
        endpoint = self._endpoint
        kept = endpoint.incoming.keep(message, answer, until_ns)
        carried = Message(carrier, message.destination, via, message.request_id)
        try:
            if (turn := endpoint.send(carried)) is not None:
                await turn
        except PeerDead:
            kept.deadline_ns = 0
            endpoint.incoming.give(kept, message)

    def answered(self, answer: Message[Any], epoch: int) -> None:
        """An answer to a call of this incarnation came with somebody else's message."""
        endpoint = self._endpoint
        if epoch != endpoint.epoch:
            return
        try:
            peer = endpoint.reach(answer.source)
        except PeerDead:
            return  # whoever waits for it was told
        answer.charged_bytes = answer.content.wire_bytes(self._precision)
        endpoint.outgoing.answered(peer, answer)

"""A router that lives and says nothing, being stopped or cut off: whoever asks it for something new
hears soon that there is no answer, and when to come back. What it has taken waits for it: it goes
on when the router does, and ends by its own deadline at the latest.
"""

from workers.errors import PeerDead
from workers.node import Node
from workers.wire.kind import A_co, Kind
from workers.wire.port import Port
from workers.wire.watch import Watch


class RouterWatch:
    """silence_ns   after which a router is silent that neither answers a submission nor says that
    it is there; None: it is waited for as long as the request may take
    """

    def __init__(self, node: Node, port: Port, router: str, silence_ns: int | None) -> None:
        self._port, self._router, self._silence_ns = port, router, silence_ns or 0
        self._watch: Watch | None = None
        if silence_ns is not None:
            self._watch = Watch(port, node.clock, node.spawn, silence_ns, self._was_heard)
        self._is_silent = False
        node.members.on_leave.append(lambda _, __: self._was_heard(router))

    def _was_heard(self, _: str) -> None:
        """Or it is known to be dead, or another."""
        self._is_silent = False

    async def call(self, content: Kind[A_co], deadline_ns: int, request_id: str) -> A_co:
        """As a port does. Raises PeerDead where the router is silent; where it is known to be, at
        once.
        """
        if self._watch is not None and self._is_silent:
            self._watch.ask(self._router, deadline_ns)
            raise self._silent()
        pending = await self._port.post(
            self._router, content, deadline_ns=deadline_ns, request_id=request_id
        )
        if self._watch is not None and not await self._watch.is_answered(pending):
            self._is_silent = True
            raise self._silent()
        return await pending.reply()

    def _silent(self) -> PeerDead:
        silence_s = self._silence_ns / 1e9
        return PeerDead(
            f"{self._router} is silent: nothing was heard of it for {silence_s:g} s",
            retry_after_s=silence_s,
        )

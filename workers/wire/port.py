"""An endpoint as one worker sees it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from workers.errors import to_body
from workers.wire.calls import Outcome, Pending
from workers.wire.endpoint import Endpoint
from workers.wire.kind import Failed, Kind
from workers.wire.message import Message

C = TypeVar("C", bound=Kind[Any])
A = TypeVar("A")


class Port:
    """Every message that it sends carries the worker's name."""

    def __init__(self, endpoint: Endpoint, worker: str) -> None:
        self.endpoint, self.worker = endpoint, worker

    def on(
        self,
        kind: type[C],
        handler: Callable[[Message[C]], Outcome | Awaitable[Outcome]],
    ) -> None:
        """Handle messages of `kind` for this worker.

        A plain function runs at once and must not block; a coroutine function runs as a task. For a
        call it returns the answer, None (an empty one), or Handled.LATER; a PerfuseError travels
        back to the caller.
        """
        self.endpoint.incoming.handle(self.worker, kind, handler)

    async def send(self, destination: str, content: Kind[Any], *, request_id: str = "") -> None:
        """One way, at most once."""
        message = Message(content, self.worker, destination, request_id)
        if (turn := self.endpoint.send(message)) is not None:
            await turn

    async def post(
        self, destination: str, content: Kind[A], *, deadline_ns: int, request_id: str = ""
    ) -> Pending[A]:
        """Begin a call: returns when it is sent. `deadline_ns` is a point in emulated time."""
        message = Message(content, self.worker, destination, request_id, deadline_ns)
        return await self.endpoint.outgoing.post(message)

    def post_now(
        self, destination: str, content: Kind[A], deadline_ns: int, request_id: str = ""
    ) -> tuple[Pending[A], Awaitable[None] | None] | None:
        """Begin a call without waiting: None where the peer has no credit left. The second of the
        pair is to be awaited, where the wire is full.
        """
        message = Message(content, self.worker, destination, request_id, deadline_ns)
        return self.endpoint.outgoing.post_now(message)

    async def call(
        self, destination: str, content: Kind[A], *, deadline_ns: int, request_id: str = ""
    ) -> A:
        """Send and wait for the answer."""
        pending = await self.post(
            destination, content, deadline_ns=deadline_ns, request_id=request_id
        )
        return await pending.reply()

    async def settled(
        self,
        pendings: Sequence[Pending[Any]],
        until_ns: int | None = None,
        is_enough: Callable[[], bool] | None = None,
    ) -> None:
        """Wait until all of these calls are answered, or will not be; then `take` each. No longer
        than until then, or until it is enough, as far as either is given: then some are open.
        """
        await self.endpoint.outgoing.wait(pendings, until_ns, is_enough)

    def path_bytes(self, worker: str) -> int:
        """What the path to a worker and back holds: more on its way at once makes nothing faster.
        Raises PeerDead.
        """
        return self.endpoint.outgoing.path_bytes(worker)

    def reply(self, message: Message[Any], content: Kind[Any]) -> None:
        """Answer a call whose handler returned Handled.LATER."""
        self.endpoint.incoming.reply(message, content)

    def refuse(self, message: Message[Any], error: Exception) -> None:
        """Answer it with an error instead."""
        self.endpoint.incoming.reply(message, Failed(to_body(error)))

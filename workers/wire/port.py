"""An endpoint as one worker sees it."""

from typing import TypedDict, Unpack

from workers.errors import to_body
from workers.wire.calls import Handler, Pending, Reply
from workers.wire.endpoint import Endpoint
from workers.wire.message import Array, Body, Message


class Parts(TypedDict, total=False):
    """What a message carries; see Message. `declared_bytes` 0 charges what the arrays weigh."""

    request_id: str
    body: Body
    columns: dict[str, Array]
    tensors: dict[str, Array]
    declared_bytes: int


class Port:
    """Every message that it sends carries the worker's name."""

    def __init__(self, endpoint: Endpoint, worker: str) -> None:
        self.endpoint, self.worker = endpoint, worker

    def on(self, kind: str, handler: Handler) -> None:
        """Handle messages of `kind` for this worker.

        A plain function runs at once and must not block; a coroutine function runs as a task. For a
        call it returns a Reply, None (an empty answer), or Handled.LATER; a PerfuseError travels
        back to the caller.
        """
        self.endpoint.handle(self.worker, kind, handler)

    async def send(self, destination: str, kind: str, **parts: Unpack[Parts]) -> None:
        """One way, at most once."""
        await self.endpoint.send(Message(kind, self.worker, destination, **parts))

    async def post(
        self, destination: str, kind: str, *, deadline_ns: int, **parts: Unpack[Parts]
    ) -> Pending:
        """Begin a call: returns when it is sent. `deadline_ns` is a point in emulated time."""
        message = Message(kind, self.worker, destination, deadline_ns=deadline_ns, **parts)
        return await self.endpoint.post(message)

    async def call(
        self, destination: str, kind: str, *, deadline_ns: int, **parts: Unpack[Parts]
    ) -> Message:
        """Send and wait for the answer."""
        pending = await self.post(destination, kind, deadline_ns=deadline_ns, **parts)
        return await pending.reply()

    async def reply(self, message: Message, reply: Reply) -> None:
        """Answer a call whose handler returned Handled.LATER."""
        await self.endpoint.reply(message, reply)

    async def refuse(self, message: Message, error: Exception) -> None:
        """Answer it with an error instead."""
        await self.endpoint.reply(message, Reply(body=to_body(error)), kind="error")

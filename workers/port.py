"""An endpoint as one worker sees it."""

from typing import TYPE_CHECKING

from workers.calls import Handler, Pending, Reply
from workers.message import Array, Body, Message

if TYPE_CHECKING:
    from workers.endpoint import Endpoint


class Port:
    """An endpoint as one worker sees it: every message it sends carries the worker's name."""

    def __init__(self, endpoint: "Endpoint", worker: str) -> None:
        self.endpoint, self.worker = endpoint, worker

    def on(self, kind: str, handler: Handler) -> None:
        """Handle messages of `kind` for this worker.

        A plain function runs at once and must not block; a coroutine function runs as a task. For a
        call it returns a Reply, None (an empty answer), or Handled.LATER; a PerfuseError travels
        back to the caller.
        """
        self.endpoint.handle(self.worker, kind, handler)

    async def send(
        self,
        destination: str,
        kind: str,
        *,
        request_id: str = "",
        body: Body | None = None,
        columns: dict[str, Array] | None = None,
        tensors: dict[str, Array] | None = None,
        declared_bytes: int = 0,
    ) -> None:
        """One way, at most once."""
        await self.endpoint.send(
            Message(
                kind,
                self.worker,
                destination,
                request_id=request_id,
                body=body or {},
                columns=columns or {},
                tensors=tensors or {},
                declared_bytes=declared_bytes,
            )
        )

    async def post(
        self,
        destination: str,
        kind: str,
        *,
        deadline_ns: int,
        request_id: str = "",
        body: Body | None = None,
        columns: dict[str, Array] | None = None,
        tensors: dict[str, Array] | None = None,
        declared_bytes: int = 0,
    ) -> Pending:
        """Begin a call: returns when it is sent. `deadline_ns` is a point in emulated time."""
        return await self.endpoint.post(
            Message(
                kind,
                self.worker,
                destination,
                request_id=request_id,
                deadline_ns=deadline_ns,
                body=body or {},
                columns=columns or {},
                tensors=tensors or {},
                declared_bytes=declared_bytes,
            )
        )

    async def call(
        self,
        destination: str,
        kind: str,
        *,
        deadline_ns: int,
        request_id: str = "",
        body: Body | None = None,
        columns: dict[str, Array] | None = None,
        tensors: dict[str, Array] | None = None,
        declared_bytes: int = 0,
    ) -> Message:
        """Send and wait for the answer."""
        pending = await self.post(
            destination,
            kind,
            deadline_ns=deadline_ns,
            request_id=request_id,
            body=body,
            columns=columns,
            tensors=tensors,
            declared_bytes=declared_bytes,
        )
        return await pending.reply()

    async def reply(self, message: Message, reply: Reply) -> None:
        """Answer a call whose handler returned Handled.LATER."""
        await self.endpoint.reply(message, reply)

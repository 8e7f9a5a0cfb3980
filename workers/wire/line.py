"""Reports that must all arrive, in order: one after the other, each until it is acknowledged."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from workers.errors import DeadlineExceeded, PerfuseError
from workers.host.mailbox import Mailbox
from workers.node import Node
from workers.wire.kind import Kind
from workers.wire.port import Port

T = TypeVar("T")
# Reports that the receiver may be behind. One that is further behind is as good as gone.
BEHIND_MAX = 1 << 16
# A call repeats itself within its deadline; a receiver that answers none of so many calls is gone.
CALLS_MAX = 8


class Line(Generic[T]):
    """A line from this worker to one receiver.

    pack      turns all that waits into the reports that are sent next, so that what piled up behind
              a slow report may travel together
    on_lost   told of each report that is given up

    The receiver knows positions and takes each once: telling again does no harm.
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        receiver: str,
        kind: str,
        timeout_ns: int,
        pack: Callable[[Sequence[T]], Sequence[Kind[Any]]],
        on_lost: Callable[[Any], None],
    ) -> None:
        self._node, self._port, self._receiver, self._kind = node, port, receiver, kind
        self._timeout_ns, self._pack, self._on_lost = timeout_ns, pack, on_lost
        self._waiting: Mailbox[T] = node.mailbox(BEHIND_MAX)
        self.in_flight = 0
        node.spawn(self._send(), f"{kind} to {receiver}")

    def put(self, item: T) -> None:
        """Queue it; never waits."""
        self.in_flight += 1
        self._waiting.put(item)

    async def _send(self) -> None:
        while True:
            items = await self._waiting.get_due()
            try:
                for report in self._pack(items):
                    await self._tell(report)
            finally:
                self.in_flight -= len(items)

    async def _tell(self, report: Kind[Any]) -> None:
        async def say() -> None:
            deadline_ns = self._node.clock.now() + self._timeout_ns
            await self._port.call(self._receiver, report, deadline_ns=deadline_ns)

        if not await until_heard(self._node, say, self._kind, self._receiver):
            self._on_lost(report)


async def until_heard(
    node: Node, say: Callable[[], Awaitable[None]], what: str, receiver: str
) -> bool:
    """Say it again while nobody answers in time; False, with a note, if the receiver is gone."""
    error: PerfuseError | None = None
    for _ in range(CALLS_MAX):
        try:
            await say()
            return True
        except DeadlineExceeded as late:
            error = late
        except PerfuseError as gone:
            error = gone
            break
    # Nobody is there to hear it, and who waited for it ends by its own deadline.
    assert error is not None, "the loop ends by a return or an error"
    node.trace.note(node.clock.now(), f"lost {what}", receiver, error.message)
    return False

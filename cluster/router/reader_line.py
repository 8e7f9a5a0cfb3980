"""Outputs on their way to whoever reads them: one line a reader, in order, nothing twice.

The line carries what the state's outbox holds, and says when the reader has heard it.
"""

from collections.abc import Callable, Sequence

from cluster.router.machine.actions import Said
from cluster.router.wire import Wire
from workers.errors import DeadlineExceeded, PerfuseError
from workers.host.mailbox import Mailbox
from workers.node import Node

# Outputs that a reader may be behind. One that is further behind is as good as gone.
BEHIND_MAX = 1 << 16
# A call repeats itself within its deadline; a reader that answers none of so many calls is gone.
CALLS_MAX = 8

# Told of how many outputs were acknowledged (True) or given up (False), the oldest first.
OnTold = Callable[[str, int, bool], None]


class ReaderLine:
    """One message after the other, each until it is acknowledged; outputs that pile up behind a
    slow one leave together.
    """

    def __init__(self, node: Node, wire: Wire, reader: str, on_told: OnTold) -> None:
        self._node, self._wire, self._reader, self._on_told = node, wire, reader, on_told
        self._waiting: Mailbox[Sequence[Said]] = node.mailbox(BEHIND_MAX)
        self._task = node.spawn(self._send(), f"outputs to {reader}")

    def put(self, said: Sequence[Said]) -> None:
        """Queue them; never waits. Raises QueueFull."""
        self._waiting.put(said)

    def close(self) -> None:
        """Nobody reads any more."""
        self._task.cancel()

    async def _send(self) -> None:
        while True:
            batches = await self._waiting.get_due()
            said = [one for batch in batches for one in batch]
            self._on_told(self._reader, len(said), await self._tell(said))

    async def _tell(self, said: Sequence[Said]) -> bool:
        error: PerfuseError | None = None
        for _ in range(CALLS_MAX):
            try:
                await self._wire.tell_outputs(self._reader, said)
                return True
            except DeadlineExceeded as late:
                error = late
            except PerfuseError as gone:
                error = gone
                break
        # Nobody is there to hear it, and who waited for it ends by its own deadline.
        assert error is not None, "the loop ends by a return or an error"
        now_ns = self._node.clock.now()
        self._node.trace.note(now_ns, "lost outputs", self._reader, error.message)
        return False

"""Outputs on their way to whoever reads them: one line a reader, in order, nothing twice."""

from collections.abc import Sequence

from workers.endpoint import Port
from workers.errors import DeadlineExceeded, PerfuseError
from workers.node import Node
from workers.request import Output

# Outputs that one reader may be behind. A reader that is further behind is as good as gone.
BEHIND_MAX = 1 << 16


class Outbox:
    """Sends what it holds in one message whenever the one before was acknowledged."""

    def __init__(self, node: Node, port: Port, reader: str, timeout_ns: int) -> None:
        self._node, self._port, self._reader, self._timeout_ns = node, port, reader, timeout_ns
        self._waiting = node.mailbox(BEHIND_MAX)
        self.in_flight = 0
        node.spawn(self._send(), f"outbox {reader}")

    def put(self, outputs: Sequence[Output]) -> None:
        """Queue outputs that became due together."""
        self.in_flight += 1
        self._waiting.put(outputs)

    async def _send(self) -> None:
        while True:
            batches = await self._waiting.get_due()
            outputs = [output for batch in batches for output in batch]
            try:
                while not await self._told(outputs):
                    pass
            finally:
                self.in_flight -= len(batches)

    async def _told(self, outputs: Sequence[Output]) -> bool:
        """False if it should be told again: the reader knows positions, and takes each once."""
        try:
            await self._port.call(
                self._reader,
                "outputs",
                deadline_ns=self._node.clock.now() + self._timeout_ns,
                body={"outputs": [output.to_body() for output in outputs]},
                tensors={str(i): o.logits for i, o in enumerate(outputs) if o.logits is not None},
            )
        except DeadlineExceeded:
            return False
        except PerfuseError as error:
            # The reader is gone, and with it whoever waited; its requests end by cancel or
            # deadline.
            self._node.trace.note(
                self._node.clock.now(), "lost outputs", self._reader, error.message
            )
        return True

"""What waits for clients that read slowly, bounded for each and for all together.

A cluster does not slow down for one reader: its tokens wait here, in memory. A client that lets too
much wait is as good as gone: its stream ends, and what it held is free.
"""

from collections.abc import Callable
from typing import Protocol

from cluster.api.output import Output

# Of one output in memory, of one token's probability and of one alternative. Measured: about 700,
# 200 and 160.
_OUTPUT_BYTES, _TOKEN_BYTES, _ALTERNATIVE_BYTES = 800, 200, 160


def bytes_of(output: Output) -> int:
    """About what it takes while it waits."""
    of_logprobs = sum(_TOKEN_BYTES + _ALTERNATIVE_BYTES * len(told.top) for told in output.logprobs)
    texts = (output.text, *output.passages)
    return _OUTPUT_BYTES + of_logprobs + 4 * sum(map(len, texts))


class Waits(Protocol):
    """Where outputs wait for their reader."""

    def add(self, output: Output) -> bool:
        """It begins to wait; False if it need not, for nobody will read it."""
        ...

    def take(self, output: Output) -> None:
        """It waits no more."""
        ...


class AllUnread:
    """What waits for all clients: where it is too much, the stream ends that has most."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.num_bytes = 0
        self.streams: set[Unread] = set()

    def relieve(self) -> None:
        while self.num_bytes > self._most_bytes:
            max(self.streams, key=lambda stream: stream.num_bytes).end()


class Unread:
    """What waits for one client. `on_end` is called once, when it is too much."""

    def __init__(self, of_all: AllUnread, most_bytes: int, on_end: Callable[[], object]) -> None:
        self._of_all, self._most_bytes, self._on_end = of_all, most_bytes, on_end
        self.num_bytes = 0
        self.has_ended = False
        of_all.streams.add(self)

    def add(self, output: Output) -> bool:
        if self.has_ended:
            return False
        self._count(bytes_of(output))
        if self.num_bytes > self._most_bytes:
            self.end()
        self._of_all.relieve()
        return not self.has_ended

    def take(self, output: Output) -> None:
        if not self.has_ended:
            self._count(-bytes_of(output))

    def end(self) -> None:
        """Too much waits."""
        self.close()
        self._on_end()

    def close(self) -> None:
        """Nothing waits any more."""
        self.has_ended = True
        self._count(-self.num_bytes)
        self._of_all.streams.discard(self)

    def _count(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes
        self._of_all.num_bytes += num_bytes

"""What was ended, and by which message: what was said of it before, and comes later, must not begin
it again.
"""

from typing import Any

from workers.errors import Cancelled
from workers.wire.message import Message


class Ended:
    """Requests that their sender has ended, each with the message that said so.

    A sender's ids rise within an incarnation, so whatever is older than the end belongs to what was
    ended, however late it comes and however many calls came between. What is concluded reaches no
    handler again (`wire.remembered`): an end below that mark is forgotten. So what is kept is what
    may still be on its way.
    """

    def __init__(self) -> None:
        # Worker that said so -> its node's incarnation, and request id -> message id.
        self._by_source: dict[str, tuple[int, dict[str, int]]] = {}

    def __len__(self) -> int:
        return sum(len(ended) for _, ended in self._by_source.values())

    def note(self, message: Message[Any]) -> None:
        """This message ends what its request id names."""
        epoch, ended = self._by_source.get(message.source, (-1, {}))
        if epoch != message.source_epoch:
            ended = {}
            self._by_source[message.source] = message.source_epoch, ended
        while ended and next(iter(ended.values())) < message.concluded:
            del ended[next(iter(ended))]
        ended.pop(message.request_id, None)
        ended[message.request_id] = message.message_id

    def check(self, message: Message[Any]) -> None:
        """Raises Cancelled for what was said before the end."""
        epoch, ended = self._by_source.get(message.source, (-1, {}))
        if epoch == message.source_epoch and message.message_id < ended.get(message.request_id, 0):
            raise Cancelled(f"{message.request_id} was ended before its {message.kind} came")

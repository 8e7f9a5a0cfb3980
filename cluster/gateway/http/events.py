"""A stream's beginning, and its events as its client is to have them."""

from collections.abc import Sequence

from cluster.api.output import Output
from cluster.gateway.answer import Writer
from cluster.gateway.progress import Progress
from cluster.gateway.resume import Resumption

STREAM_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),  # nginx would gather chunks
    ],
}


class Events:
    """Those of an answer: with ids, and without what the client has, where `resumption` says so."""

    def __init__(self, answer: Writer, resumption: Resumption | None) -> None:
        self._answer, self._resumption = answer, resumption

    def chunk(self, index: int, output: Output, progresses: Sequence[Progress]) -> bytes | None:
        """None: the client has it already. Raises CannotResume."""
        data = self._answer.chunk(index, output, progresses)
        if self._resumption is None:
            return data
        return None if self._resumption.has(index, output) else self._resumption.numbered(data)

    def tail(self, progresses: Sequence[Progress]) -> bytes:
        data = self._answer.tail(progresses)
        return data if self._resumption is None else self._resumption.numbered_end(data)

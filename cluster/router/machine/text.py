"""The text of streams, token by token.

Detokenizer and stop matcher keep a little of what they have seen: bytes of half a character, text
that may begin a stop string. All of it follows from the tokens, which are in the state, so it is
kept beside the state as a cache and computed again where it is missing.
"""

from collections.abc import Sequence

from cluster.router.machine.state import RequestState
from cluster.text.detokenizer import IncrementalDetokenizer
from cluster.text.stops import StopMatcher
from cluster.text.tokenizer import Tokenizer


class StreamText:
    """Text of one stream as far as it is safe to show."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str], has_tools: bool) -> None:
        shown = tokenizer.tool_marks if has_tools else frozenset()
        self._detokenizer = IncrementalDetokenizer(tokenizer, shown)
        self._stops = StopMatcher(stops)

    def push(self, token_id: int) -> str:
        """Text that this token completes; nothing once a stop string was met."""
        return self._stops.push(self._detokenizer.push((token_id,)))

    def flush(self) -> str:
        """What is still held back; the stream is over."""
        return self._stops.push(self._detokenizer.flush()) + self._stops.flush()

    @property
    def is_stopped(self) -> bool:
        return self._stops.stopped


class Texts:
    """The texts of all streams."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._texts: dict[str, StreamText] = {}

    def of(self, request: RequestState) -> StreamText:
        """As it is after the delivered tokens of this request."""
        text = self._texts.get(request.request_id)
        if text is None:
            text = StreamText(
                self.tokenizer, request.request.sampling.stop, bool(request.request.tools)
            )
            for token_id in request.stream.tokens:
                text.push(token_id)
            self._texts[request.request_id] = text
        return text

    def drop(self, request_id: str) -> None:
        self._texts.pop(request_id, None)

    def data(self, token_id: int) -> bytes:
        """What one token stands for."""
        return self.tokenizer.token_bytes(token_id)

    def is_special(self, token_id: int) -> bool:
        """No text has it."""
        return token_id in self.tokenizer.special_ids

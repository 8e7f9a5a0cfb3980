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

    def __init__(
        self, tokenizer: Tokenizer, stops: Sequence[str], min_tokens: int, *, has_tools: bool
    ) -> None:
        shown = tokenizer.tool_marks if has_tools else frozenset()
        self._detokenizer = IncrementalDetokenizer(tokenizer, shown)
        self._stops, self._min_tokens, self._num_tokens = StopMatcher(stops), min_tokens, 0

    def push(self, token_ids: Sequence[int]) -> str:
        """Text that these tokens complete; nothing once a stop string was met. Where there are stop
        strings they come one by one.
        """
        if not token_ids:
            return ""
        self._num_tokens += len(token_ids)
        return self._stops.push(self._detokenizer.push(token_ids), self._may_stop)

    def flush(self) -> str:
        """What is still held back; the stream is over."""
        return self._stops.push(self._detokenizer.flush(), self._may_stop) + self._stops.flush()

    @property
    def _may_stop(self) -> bool:
        """A string may end the answer in the text of its latest token."""
        return self._num_tokens > self._min_tokens

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
            sampling, has_tools = request.request.sampling, bool(request.request.tools)
            text = StreamText(
                self.tokenizer, sampling.stop, sampling.min_tokens, has_tools=has_tools
            )
            for token_id in request.stream.tokens:
                text.push((token_id,))
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

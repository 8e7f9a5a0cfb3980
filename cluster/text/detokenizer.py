"""Streaming text waits while a character's bytes are split over tokens; it adds up to exactly what
decoding all tokens at once would give.
"""

import codecs
from collections.abc import Iterable

from cluster.text.tokenizer import Tokenizer


class IncrementalDetokenizer:
    """Text of a growing list of tokens: what it returns adds up to `Tokenizer.decode`.

    Holds back the bytes of an incomplete UTF-8 character; leaves special tokens out, but those that
    are to be `shown`.
    """

    def __init__(self, tokenizer: Tokenizer, shown: frozenset[int] = frozenset()) -> None:
        self._tokenizer = tokenizer
        self._hidden = tokenizer.special_ids - shown if shown else tokenizer.special_ids
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_ids: Iterable[int]) -> str:
        """Text that these tokens complete; may be empty."""
        return self._decoder.decode(self._tokenizer.bytes_of(token_ids, self._hidden))

    def flush(self) -> str:
        """What is still held back, as U+FFFD; the stream is over."""
        return self._decoder.decode(b"", final=True)

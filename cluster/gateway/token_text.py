"""Tokens as answers show them: ids and bytes come from the cluster, texts are made here."""

import codecs
from collections.abc import Sequence

from cluster.api.output import TokenLogprob

# OpenAI's stand-in for minus infinity, which JSON does not have.
LOGPROB_MIN = -9999.0


def text_of(data: bytes) -> str | None:
    """None where the bytes are no text by themselves: part of a character."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def escaped(data: bytes) -> str:
    """How OpenAI's chats spell a token that is no text."""
    return "".join(f"\\x{byte:02x}" for byte in data)


def named(data: bytes) -> str:
    """How OpenAI's completions spell a token: where it is no text, no other has its name."""
    text = text_of(data)
    return f"bytes:{escaped(data)}" if text is None else text


def ranked(told: TokenLogprob) -> Sequence[tuple[int, bytes, float]]:
    """The likeliest as many as were asked for, and the chosen one if it is not among them."""
    if any(token_id == told.token_id for token_id, _, _ in told.top):
        return told.top
    return (*told.top, (told.token_id, told.data, told.logprob))


class TextOffsets:
    """Where each token begins in an answer's text, in characters; one that goes on with a character
    has the place of that character. What the text leaves out takes no place.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._num_chars = 0

    def next(self, token: TokenLogprob) -> int:
        begins = self._num_chars
        if token.shown:
            is_inside = self._is_inside()
            first = self._decoder.decode(token.data[:1])
            # What the character begun before became where this token does not go on with it.
            begins += is_inside and (len(first) == 2 or bool(first and self._is_inside()))
            self._num_chars += len(first) + len(self._decoder.decode(token.data[1:]))
        return begins

    def _is_inside(self) -> bool:
        """Of a character."""
        return bool(self._decoder.getstate()[0])

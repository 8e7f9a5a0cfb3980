"""Documents become passages of so many tokens each, as OpenAI's static chunking has them. Pure."""

from collections.abc import Callable, Iterator, Sequence

from cluster.retrieval.passages import Span

# Of the text that is tokenised at once.
PIECE_CHARS = 4096

# Spans of a text's tokens in it, in characters.
SpansOf = Callable[[str], Sequence[Span]]


def token_windows(text: str, spans_of: SpansOf, size: int, overlap: int) -> Iterator[Span]:
    """Windows of `size` tokens, the next one beginning with the last `overlap` of one."""
    window: list[Span] = []
    num_new = 0
    for span in _tokens(text, spans_of):
        window.append(span)
        num_new += 1
        if len(window) == size:
            yield window[0][0], window[-1][1]
            del window[: size - overlap]
            num_new = 0
    if num_new:
        yield window[0][0], window[-1][1]


def _tokens(text: str, spans_of: SpansOf) -> Iterator[Span]:
    """A piece at a time, cut before a space where there is one: words stay whole."""
    start = 0
    while start < len(text):
        stop = start + PIECE_CHARS
        if stop < len(text):
            space = text.rfind(" ", start + 1, stop)
            stop = space if space > 0 else stop
        for begin, end in spans_of(text[start:stop]):
            yield start + begin, start + end
        start = stop

"""Documents become passages: small enough to join a prompt, large enough to answer a question.

A text of records (one fact a line: cards, logs, FAQs) gives one passage a line. Prose gives one
passage a paragraph; a paragraph that is too long gives windows of whole sentences that overlap. A
passage is always a span of its document, and every character that is not white space is in at least
one passage.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

# A record is a line; longer lines are taken for paragraphs. ASSUMED: about three sentences.
RECORD_CHARS_MAX = 240
# A text is wrapped prose, not records, if more than this share of its lines goes on in the next
# one.
WRAPPED_SHARE_MAX = 0.1
PASSAGE_CHARS = 600
OVERLAP_CHARS = 100

_SENTENCE_END = re.compile(r"[.!?…。！？]['\")\]’”]*\s+|\n+")
_MARKS = ".!?…。！？'\")]’”"  # of which a sentence's end, without white space, is made
_ENDS_SENTENCE = re.compile(r"[.!?:;…。！？]['\")\]’”]*$")

# What ends a line for `str.splitlines`.
_LINE_END = re.compile("\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
PIECE_CHARS = 1 << 16

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of a document: `text` is `document[start:end]`, with no white space at either end."""

    file_id: str
    start: int
    end: int
    text: str


def split_document(
    file_id: str,
    text: str,
    passage_chars: int = PASSAGE_CHARS,
    overlap_chars: int = OVERLAP_CHARS,
    passages_max: int | None = None,
) -> list[Passage]:
    """Split one document, in order; the same text always gives the same passages.

    passage_chars   the most characters of a passage of prose
    overlap_chars   how many of them, at most, the next window repeats, in whole sentences

    Raises ValueError unless 0 <= overlap_chars < passage_chars, and for more than passages_max.
    """
    if not 0 <= overlap_chars < passage_chars:
        raise ValueError(
            f"overlap_chars is {overlap_chars}: it must be 0 or more and below passage_chars "
            f"({passage_chars})"
        )
    are_records = _are_records(text)
    spans = _lines(text) if are_records else _windows(text, passage_chars, overlap_chars)
    return passages_of(file_id, text, spans, passages_max)


def passages_of(
    file_id: str, text: str, spans: Iterable[Span], passages_max: int | None = None
) -> list[Passage]:
    """Of those that are not blank. Raises ValueError for more than passages_max."""
    passages: list[Passage] = []
    for span in spans:
        start, end = _stripped(text, *span)
        if start == end:
            continue
        if len(passages) == passages_max:
            raise ValueError(
                f"{file_id} makes more than {passages_max} passages, which is the most that are "
                "added at once: split it, or put more into a line or a paragraph, which is one each"
            )
        passages.append(Passage(file_id, start, end, text[start:end]))
    return passages


def _stripped(text: str, start: int, end: int) -> Span:
    """The span without the white space at its ends; empty if there is nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _all_lines(text: str) -> Iterator[str]:
    """`text.splitlines(keepends=True)`, a piece at a time: of millions of lines, one call would
    hold Python's lock for as long as it takes.
    """
    start = 0
    while start < len(text):
        stop = start
        while stop < len(text):
            stop += PIECE_CHARS
            end = _LINE_END.search(text, stop, stop + PIECE_CHARS)
            if end is not None:
                stop = end.end()
                stop += text[stop - 1 : stop + 1] == "\r\n"
                break
        yield from text[start:stop].splitlines(keepends=True)
        start = stop


def _lines(text: str) -> Iterator[Span]:
    """Spans of the lines that are not blank."""
    start = 0
    for line in _all_lines(text):
        end = start + len(line)
        if line.strip():
            yield _stripped(text, start, end)
        start = end


def _are_records(text: str) -> bool:
    """Whether each line stands for itself: all are short, few end in mid-sentence."""
    wrapped = num_lines = 0
    before: Span | None = None
    for start, end in _lines(text):
        if end - start > RECORD_CHARS_MAX:
            return False
        if before is not None and text[start].islower():
            adjacent = text.count("\n", before[1], start) == 1
            wrapped += adjacent and not _ENDS_SENTENCE.search(text, *before)
        before, num_lines = (start, end), num_lines + 1
    return wrapped <= WRAPPED_SHARE_MAX * num_lines


def _windows(text: str, passage_chars: int, overlap_chars: int) -> Iterator[Span]:
    """Paragraphs, the long ones as overlapping windows of whole sentences."""
    for paragraph in _paragraphs(text):
        if paragraph[1] - paragraph[0] <= passage_chars:
            yield paragraph
        else:
            sentences = _sentences(text, paragraph, passage_chars)
            yield from _packed(sentences, passage_chars, overlap_chars)


def _paragraphs(text: str) -> Iterator[Span]:
    """Runs of lines between blank lines."""
    start = end = 0
    open_paragraph = False
    position = 0
    for line in _all_lines(text):
        if line.strip():
            first, last = _stripped(text, position, position + len(line))
            start = start if open_paragraph else first
            end = last
            open_paragraph = True
        elif open_paragraph:
            yield start, end
            open_paragraph = False
        position += len(line)
    if open_paragraph:
        yield start, end


def _sentences(text: str, paragraph: Span, chars_max: int) -> Iterator[Span]:
    """The paragraph's sentences; one longer than a passage is cut, between words if it can be."""
    start, paragraph_end = paragraph
    for end in chain(_sentence_ends(text, start, paragraph_end), (paragraph_end,)):
        first, last = _stripped(text, start, end)
        while last - first > chars_max:
            cut = max(text.rfind(" ", first + 1, first + chars_max + 1), first)
            piece = _stripped(text, first, cut if cut > first else first + chars_max)
            yield piece
            first, _ = _stripped(text, piece[1], last)
        if first < last:
            yield first, last
        start = end


def _sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where `_SENTENCE_END.finditer` has its ends; a piece at a time, as `_all_lines`."""
    while start < end:
        limit = min(start + PIECE_CHARS, end)
        found = _SENTENCE_END.search(text, start, limit)
        if found is not None and found.end() == limit:
            found = _SENTENCE_END.match(text, found.start(), end)  # its white space may go on
        elif found is None and limit < end:
            # One that is cut here begins with the marks at the piece's end, if it has any.
            begin = start + len(text[start:limit].rstrip(_MARKS))
            if begin > start:
                start = begin
                continue
            found = _SENTENCE_END.search(text, start, end)
        if found is None:
            return
        yield found.end()
        start = found.end()


def _packed(sentences: Iterable[Span], chars_max: int, overlap_chars: int) -> Iterator[Span]:
    """As many sentences a window as fit; the next one begins with the last ones of this one."""
    window: list[Span] = []
    for sentence in sentences:
        if window and sentence[1] - window[0][0] > chars_max:
            end = window[-1][1]
            yield window[0][0], end
            # Go back while the repeated part stays small and the window still reaches this one.
            begin = len(window)
            while (
                begin > 1
                and end - window[begin - 1][0] <= overlap_chars
                and sentence[1] - window[begin - 1][0] <= chars_max
            ):
                begin -= 1
            del window[:begin]
        window.append(sentence)
    if window:
        yield window[0][0], window[-1][1]

"""Documents become passages: small enough to join a prompt, large enough to answer a question.

A text of records (one fact a line: cards, logs, FAQs) gives one passage a line. Prose gives one
passage a paragraph; a paragraph that is too long gives windows of whole sentences that overlap. A
passage is always a span of its document, and every character that is not white space is in at least
one passage.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

# A record is a line; longer lines are taken for paragraphs. ASSUMED: about three sentences.
RECORD_CHARS_MAX = 240
# A text is wrapped prose, not records, if more than this share of its lines goes on in the next
# one.
WRAPPED_SHARE_MAX = 0.1
PASSAGE_CHARS = 600
OVERLAP_CHARS = 100

_SENTENCE_END = re.compile(r"[.!?…。！？]['\")\]’”]*\s+|\n+")
_ENDS_SENTENCE = re.compile(r"[.!?:;…。！？]['\")\]’”]*$")

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
) -> list[Passage]:
    """Split one document, in order; the same text always gives the same passages.

    passage_chars   the most characters of a passage of prose
    overlap_chars   how many of them, at most, the next window repeats, in whole sentences

    Raises ValueError unless 0 <= overlap_chars < passage_chars.
    """
    if not 0 <= overlap_chars < passage_chars:
        raise ValueError(
            f"overlap_chars is {overlap_chars}: it must be 0 or more and below passage_chars "
            f"({passage_chars})"
        )
    lines = list(_lines(text))
    spans = lines if _are_records(text, lines) else _windows(text, passage_chars, overlap_chars)
    return [Passage(file_id, start, end, text[start:end]) for start, end in spans]


def _stripped(text: str, start: int, end: int) -> Span:
    """The span without the white space at its ends; empty if there is nothing else."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _lines(text: str) -> Iterator[Span]:
    """Spans of the lines that are not blank."""
    start = 0
    for line in text.splitlines(keepends=True):
        end = start + len(line)
        if line.strip():
            yield _stripped(text, start, end)
        start = end


def _are_records(text: str, lines: list[Span]) -> bool:
    """Whether each line stands for itself: all are short, few end in mid-sentence."""
    if any(end - start > RECORD_CHARS_MAX for start, end in lines):
        return False
    wrapped = 0
    for (start, end), (next_start, _) in pairwise(lines):
        adjacent = text.count("\n", end, next_start) == 1
        goes_on = text[next_start].islower() and not _ENDS_SENTENCE.search(text[start:end])
        wrapped += adjacent and goes_on
    return wrapped <= WRAPPED_SHARE_MAX * len(lines)


def _windows(text: str, passage_chars: int, overlap_chars: int) -> Iterator[Span]:
    """Paragraphs, the long ones as overlapping windows of whole sentences."""
    for paragraph in _paragraphs(text):
        if paragraph[1] - paragraph[0] <= passage_chars:
            yield paragraph
        else:
            sentences = list(_sentences(text, paragraph, passage_chars))
            yield from _packed(sentences, passage_chars, overlap_chars)


def _paragraphs(text: str) -> Iterator[Span]:
    """Runs of lines between blank lines."""
    start = end = 0
    open_paragraph = False
    position = 0
    for line in text.splitlines(keepends=True):
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
    ends = [m.end() for m in _SENTENCE_END.finditer(text, start, paragraph_end)]
    for end in [*ends, paragraph_end]:
        first, last = _stripped(text, start, end)
        while last - first > chars_max:
            cut = max(text.rfind(" ", first + 1, first + chars_max + 1), first)
            piece = _stripped(text, first, cut if cut > first else first + chars_max)
            yield piece
            first, _ = _stripped(text, piece[1], last)
        if first < last:
            yield first, last
        start = end


def _packed(sentences: list[Span], chars_max: int, overlap_chars: int) -> Iterator[Span]:
    """As many sentences a window as fit; the next one begins with the last ones of this one."""
    first = 0
    while first < len(sentences):
        start = sentences[first][0]
        after = first + 1
        while after < len(sentences) and sentences[after][1] - start <= chars_max:
            after += 1
        end = sentences[after - 1][1]
        yield start, end
        if after == len(sentences):
            return
        # Go back while the repeated part stays small and the window still reaches a new sentence.
        begin = after
        while (
            begin - 1 > first
            and end - sentences[begin - 1][0] <= overlap_chars
            and sentences[after][1] - sentences[begin - 1][0] <= chars_max
        ):
            begin -= 1
        first = begin

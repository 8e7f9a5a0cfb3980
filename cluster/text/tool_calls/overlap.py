"""A mark may come in pieces."""

from collections.abc import Iterable


def held_back(text: str, marks: Iterable[str]) -> int:
    """How many characters at the end of the text may begin one of the marks."""
    return max((_overlap(text, mark) for mark in marks), default=0)


def _overlap(text: str, mark: str) -> int:
    for size in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:size]):
            return size
    return 0

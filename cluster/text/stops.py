"""Streaming text waits while its end may begin a stop string, and no longer than is safe."""

from collections.abc import Sequence
from functools import lru_cache


class StopMatcher:
    """Cuts a stream of text at the first stop string, which itself is left out.

    First means complete first, so that the cut does not depend on how the text is split into
    pieces; of several that are complete at the same character, the longest. Text that might begin a
    stop string is held back until that is decided. A character costs the same however long the
    strings are.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(sorted(stops, key=len, reverse=True))
        self._borders = [_borders(stop) for stop in self._stops]
        self._begun = [0] * len(self._stops)  # characters of each with which the text ends
        self._held = ""
        self.matched: str | None = None

    @property
    def stopped(self) -> bool:
        return self.matched is not None

    def push(self, text: str, may_stop: bool = True) -> str:
        """Text that is safe to show; nothing once stopped. A string that is complete where it
        `may_stop` nothing is text like other text; its end may begin one that does.
        """
        if self.stopped:
            return ""
        if not self._stops:
            return text
        start = len(self._held)
        self._held += text
        for end, character in enumerate(text, start + 1):
            complete = self._complete(character)
            if complete is not None and may_stop:
                self.matched = complete
                safe, self._held = self._held[: end - len(complete)], ""
                return safe
            if complete is not None:
                self._go_on()
        keep = len(self._held) - max(self._begun)
        safe, self._held = self._held[:keep], self._held[keep:]
        return safe

    def flush(self) -> str:
        """The rest, when no more text will come."""
        rest, self._held = self._held, ""
        return rest

    def _go_on(self) -> None:
        """Of what is complete, as much as may begin another."""
        for index, stop in enumerate(self._stops):
            if self._begun[index] == len(stop):
                self._begun[index] = self._borders[index][-1]

    def _complete(self, character: str) -> str | None:
        """The longest string that this character completes (Knuth, Morris, Pratt 1977)."""
        complete: str | None = None
        for index, stop in enumerate(self._stops):
            begun, borders = self._begun[index], self._borders[index]
            while begun and stop[begun] != character:
                begun = borders[begun - 1]
            begun += stop[begun] == character
            self._begun[index] = begun
            if begun == len(stop) and complete is None:
                complete = stop
        return complete


@lru_cache(maxsize=1024)
def _borders(stop: str) -> tuple[int, ...]:
    """Of each beginning: the length of its longest shorter beginning that it also ends with."""
    borders, length = [0], 0
    for character in stop[1:]:
        while length and stop[length] != character:
            length = borders[length - 1]
        length += stop[length] == character
        borders.append(length)
    return tuple(borders)

"""Streaming text waits while its end may begin a stop string, and no longer than is safe."""

from collections.abc import Sequence


class StopMatcher:
    """Cuts a stream of text at the first stop string, which itself is left out.

    First means complete first, so that the cut does not depend on how the text is split into
    pieces; of several that are complete at the same character, the longest. Text that might begin a
    stop string is held back until that is decided.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.matched: str | None = None

    @property
    def stopped(self) -> bool:
        return self.matched is not None

    def push(self, text: str) -> str:
        """Text that is safe to show; nothing once stopped."""
        if self.stopped:
            return ""
        self._held += text
        found = [
            (at + len(stop), at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0
        ]
        if found:
            _, at, self.matched = min(found)
            safe, self._held = self._held[:at], ""
            return safe
        keep = self._undecided()
        safe, self._held = (
            self._held[: len(self._held) - keep],
            self._held[len(self._held) - keep :],
        )
        return safe

    def flush(self) -> str:
        """The rest, when no more text will come."""
        rest, self._held = self._held, ""
        return rest

    def _undecided(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            end = self._held[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0

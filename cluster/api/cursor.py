"""A piece of a list, by the ids of what is in it: OpenAI's cursors. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from workers.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Cursor:
    """At most `limit`, the newest first or the oldest; those after one and before another."""

    limit: int
    newest_first: bool = True
    after: str | None = None
    before: str | None = None

    def window(self, oldest_first: Sequence[str]) -> tuple[Sequence[str], bool]:
        """Their ids, and whether more follow. Raises InvalidRequest for an id that is not there."""
        ids = oldest_first[::-1] if self.newest_first else oldest_first
        first = 0 if self.after is None else _index(ids, self.after, "after") + 1
        last = len(ids) if self.before is None else _index(ids, self.before, "before")
        window = ids[first:last]
        return window[: self.limit], len(window) > self.limit


def _index(ids: Sequence[str], wanted: str, key: str) -> int:
    if wanted not in ids:
        raise InvalidRequest(f"{key} is {wanted!r:.80}: it must be an id from the list", param=key)
    return ids.index(wanted)

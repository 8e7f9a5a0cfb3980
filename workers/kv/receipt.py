"""What of a sequence's KV has come: pieces that were found sound, and are written. That a call was
answered, or that somebody says that all is there, is not that. Pure.
"""

from collections.abc import Iterable

from configs.slices import Slice

# Whose rank has no slice alone.
EVERY_TOKEN = Slice(0, 1, 1)


class Receipt:
    """A piece is here when all of it is: at once, or part by part.

    tokens   number of those whose KV is to come (`workers.kv.identity`)
    held     where these lie here: what lies elsewhere does not come
    """

    def __init__(self, tokens: int, held: Slice = EVERY_TOKEN) -> None:
        self.tokens, self._held = tokens, held
        self._size = 0
        self._here: set[int] = set()
        self._parts: dict[int, dict[tuple[int, int], int]] = {}

    def wrote(
        self, size: int, indexes: Iterable[int], where: tuple[int, int], amount: int, whole: int
    ) -> None:
        """Of these pieces, of `size` tokens each, the part that begins at `where`: so much of all
        that there is to come of each. What comes twice counts once; where pieces are of another
        size than before, those before count no more.
        """
        if size != self._size:
            self._size = size
            self._here.clear()
            self._parts.clear()
        for index in indexes:
            if index in self._here:
                continue
            parts = self._parts.setdefault(index, {})
            parts[where] = amount
            if sum(parts.values()) >= whole:
                del self._parts[index]
                self._here.add(index)

    def leading(self, begin: int, end: int) -> int:
        """The first token from `begin`, where a piece begins, that was to come and is not here;
        `end` if all before it are.
        """
        size = self._size or self._held.tokens
        index = begin // size
        while index * size < end and self._has(index, index * size):
            index += 1
        return min(max(begin, index * size), end)

    def _has(self, index: int, position: int) -> bool:
        """Whether there is nothing to wait for of a piece that begins there."""
        return index in self._here or not self._held.holds(position)

"""Whose KV blocks lie where in a memory server's room for running sequences. Pure.

free     nobody's                  held     an owner's block of one logical index
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple


class Owner(NamedTuple):
    """One sequence: the chip that it runs on, its number there, and the incarnation of the chip,
    each of which counts anew.
    """

    chip: str
    number: int
    epoch: int = 0


class NearRoom:
    """Places 0 .. num_blocks - 1."""

    def __init__(self, num_blocks: int) -> None:
        if num_blocks < 1:
            raise ValueError(f"num_blocks is {num_blocks}: it must be at least 1")
        self.num_blocks = num_blocks
        self._free: deque[int] = deque(range(num_blocks))
        self._held: dict[Owner, dict[int, int]] = {}

    @property
    def num_held(self) -> int:
        return self.num_blocks - len(self._free)

    def put(self, owner: Owner, indexes: Sequence[int]) -> list[int] | None:
        """A place for each, those that are here already keep theirs; None, changing nothing, where
        there is no room for all.
        """
        held = self._held.get(owner, {})
        fresh = [index for index in dict.fromkeys(indexes) if index not in held]
        if len(fresh) > len(self._free):
            return None
        held = self._held.setdefault(owner, held)
        for index in fresh:
            held[index] = self._free.popleft()
        return [held[index] for index in indexes]

    def places(self, owner: Owner, limit: int) -> list[int]:
        """Of the owner's blocks before `limit`, by logical index; none of an unknown one."""
        held = self._held.get(owner, {})
        return [held[index] for index in sorted(held) if index < limit]

    def holds(self, owner: Owner) -> bool:
        return owner in self._held

    def drop(self, owner: Owner) -> None:
        """Does nothing for an unknown one."""
        self._free.extend(self._held.pop(owner, {}).values())

    def drop_chip(self, chip: str) -> None:
        """All that one chip owns."""
        for owner in [owner for owner in self._held if owner.chip == chip]:
            self.drop(owner)

    def check_integrity(self) -> None:
        """Assert that each place is free or one owner's, once."""
        taken = [place for held in self._held.values() for place in held.values()]
        assert sorted([*self._free, *taken]) == list(range(self.num_blocks)), self._held

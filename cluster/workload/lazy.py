"""Sequences whose items are made when they are asked for, and held by whoever asked."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class Lazy(Sequence[T]):
    """Item i is `_made(i)`, the same whenever that is."""

    @abstractmethod
    def _made(self, index: int) -> T:
        """The item at `index`, which is from 0 to len - 1."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        indices = range(len(self))[index]
        if isinstance(indices, range):
            return tuple(self._made(i) for i in indices)
        return self._made(indices)

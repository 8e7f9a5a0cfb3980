"""What a rank keeps of tokens that are away, and what it gets back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.all_to_all.errors import RankLost
from kernels.all_to_all.geometry import library


class Handle:
    """A dispatch that was sent. Letting go of it drops its answers."""

    __slots__ = ("num_tokens", "stored")

    def __init__(self, stored: object, num_tokens: int) -> None:
        self.stored, self.num_tokens = stored, num_tokens

    def tokens_of(self, rank: int) -> NDArray[np.int32]:
        """Rows of the dispatch that a rank was to answer."""
        tokens = np.empty(self.num_tokens, np.int32)
        return tokens[: library().a2a_tokens_of(self.stored, rank, tokens)]


@dataclass(frozen=True, slots=True)
class Missing:
    """Tokens that lack one rank's part, and why."""

    rank: int
    tokens: NDArray[np.int32]
    error: RankLost


@dataclass(frozen=True, slots=True)
class Combined:
    """Sums of all tokens; those of tokens that miss a part are not whole."""

    sums_TH: NDArray[Any]
    missing: tuple[Missing, ...]

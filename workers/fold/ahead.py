"""What is known of the steps to come of one sequence."""

from collections.abc import Sequence as Seq

import numpy as np
from numpy.typing import NDArray

from workers.chip.sequence import Sequence

Experts = NDArray[np.int32]


class Ahead:
    """Of `seq`, from the computing of position `start` on.

    tokens    that each step samples        ends   whether the last of them ends the sequence
    """

    __slots__ = ("_blocks", "_experts", "ends", "seq", "start", "tokens")

    def __init__(self, seq: Sequence, start: int) -> None:
        self.seq, self.start, self.ends = seq, start, False
        self.tokens: list[int] = []
        self._experts: list[Experts] = []  # [steps, X, K] each
        self._blocks = list(seq.block_ids)

    @property
    def end(self) -> int:
        """The first position of which nothing is known."""
        return self.start + len(self.tokens)

    @property
    def last_token(self) -> int:
        """The token at `end`."""
        return self.tokens[-1] if self.tokens else self.seq.token_ids[self.start]

    def left(self, position: int) -> int:
        """Steps that are known from there on."""
        return self.end - position

    def holds(self) -> bool:
        """Whether the keys of what is known are still in its blocks."""
        size = self.seq.block_size
        num_blocks = -(-self.end // size)
        return self._blocks[:num_blocks] == self.seq.block_ids[:num_blocks]

    def add(self, tokens: Seq[int], experts: Experts, *, ends: bool) -> None:
        """Steps that follow; their keys are in the blocks that it has now."""
        self.tokens.extend(tokens)
        self._experts.append(experts)
        self._blocks, self.ends = list(self.seq.block_ids), ends

    def tokens_from(self, position: int, steps: int) -> list[int]:
        """Of so many steps from there on."""
        begin = position - self.start
        return self.tokens[begin : begin + steps]

    def experts(self, position: int, steps: int) -> Experts:
        """[steps, X, K] from there on."""
        begin, found = position - self.start, list[Experts]()
        for chunk in self._experts:
            if begin < len(chunk) and steps:
                some = chunk[max(begin, 0) : max(begin, 0) + steps]
                found.append(some)
                steps -= len(some)
            begin -= len(chunk)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def forget(self, position: int) -> None:
        """Steps before are over."""
        while self._experts and self.start + len(self._experts[0]) <= position:
            gone = len(self._experts.pop(0))
            del self.tokens[:gone]
            self.start += gone

"""KV of sequences that lies elsewhere: what a scheduler tells of them, and asks."""

from collections.abc import Mapping
from typing import Protocol

from workers.chip.sequence import Sequence


class Elsewhere(Protocol):
    """Where evicted blocks go; see `workers.kv.offload`. Called in the scheduler's own turn."""

    def asked(self, seq: Sequence) -> None:
        """A sequence has come, for which its full blocks are wanted."""
        ...

    def lost(self, seq: Sequence) -> None:
        """It was preempted: all of its computed blocks will be wanted again."""
        ...

    def brings(self, seq: Sequence) -> bool:
        """Asked when the head of the queue could come in: whether some of its blocks are on their
        way, for which it has to wait. Their arrival unpins them, which wakes the chip.
        """
        ...

    def admitted(self, seq: Sequence) -> None:
        """It has blocks, of which `num_computed` tokens were found, and is about to run."""
        ...

    def figures(self) -> Mapping[str, int]:
        """Counts since start, for whoever looks at a chip."""
        ...


class Nowhere:
    """What is evicted is gone."""

    def asked(self, seq: Sequence) -> None:
        """Nobody counts."""

    def lost(self, seq: Sequence) -> None:
        """It will be computed again."""

    def brings(self, seq: Sequence) -> bool:
        return False

    def admitted(self, seq: Sequence) -> None:
        """Nothing of it came back."""

    def figures(self) -> Mapping[str, int]:
        return {}

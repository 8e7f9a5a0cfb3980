"""Ways from a chip's programs to others, as the interpreter has them: what leaves, and what comes
of it.
"""

from typing import Any, Protocol

from workers.chip.batch import Batch
from workers.model.program import Attend, Gather, Rows, Swap


class Away(Protocol):
    """Something that others were sent and will answer."""

    async def receive(self) -> Any:
        """The answer. Called once, or not at all."""
        ...

    def abandon(self) -> None:
        """Nobody will ask for the answer. Does nothing after `receive`."""
        ...


class Reducer(Protocol):
    """The way to the other ranks of a tensor-parallel group."""

    async def send(self, batch: Batch, partial: Rows) -> Away:
        """This rank's share; the answer is the sum over all ranks, the same bits on each. Every
        rank sends the same sequence of shares.
        """
        ...


class Slices(Protocol):
    """The way to the other ranks that hold slices of the same keys."""

    async def send(self, batch: Batch, op: Gather | Swap) -> Away:
        """The answer is what all of them had, in their order, this one's among them."""
        ...


class NextStage(Protocol):
    """The way to the next stage of a pipeline."""

    async def send(self, batch: Batch, rows_T: Rows) -> None:
        """Returns when the rows are on their way. Raises PeerDead."""
        ...


class FarKeys(Protocol):
    """The way to keys that lie with memory servers."""

    async def send(self, batch: Batch, op: Attend) -> Away:
        """Queries of the sequences that have such keys; the answer is a list of `PartOf`. What
        nobody answers fails sequences of the batch.
        """
        ...

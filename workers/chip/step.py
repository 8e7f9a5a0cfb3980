"""A step: the tokens that a chip computes together."""

from dataclasses import dataclass

from workers.chip.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Item:
    """Compute tokens start .. start + count - 1 of `seq`.

    samples   its last token is among them, so logits are wanted
    """

    seq: Sequence
    start: int
    count: int
    samples: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One batch, never empty. preempted: ids that lost their blocks since the step before."""

    items: tuple[Item, ...]
    preempted: tuple[str, ...]
    num_tokens: int

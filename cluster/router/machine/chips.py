"""Chips as the router sees them: what it has given to each, and what it believes each to hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

# Block hashes that the router believes a chip to hold: its picture of the chip's prefix cache, not
# the cache itself. Beyond that the oldest eighth goes at once: a dict is slow to find its first.
PREFIXES_PER_CHIP_MAX = 1 << 16


@dataclass(slots=True)
class ChipState:
    """One chip.

    epoch           incarnation of its node
    queued_tokens   prompt tokens given to it and not yet prefilled
    blocks_taken    KV blocks that placed requests may come to need here
    prefixes        hashes of blocks that it probably holds, the latest last
    """

    name: str
    role: str
    num_blocks: int
    epoch: int = 1
    alive: bool = True
    num_requests: int = 0
    queued_tokens: int = 0
    blocks_taken: int = 0
    prefixes: dict[str, None] = field(default_factory=dict)

    def prefix_hits(self, block_hashes: Sequence[str]) -> int:
        """Leading blocks that this chip probably holds."""
        for index, content in enumerate(block_hashes):
            if content not in self.prefixes:
                return index
        return len(block_hashes)

    def holds(self, block_hashes: Sequence[str]) -> None:
        """It has computed these: the latest are remembered longest."""
        for content in block_hashes:
            self.prefixes.pop(content, None)
            self.prefixes[content] = None
        if len(self.prefixes) > PREFIXES_PER_CHIP_MAX:
            for content in list(islice(self.prefixes, PREFIXES_PER_CHIP_MAX // 8)):
                del self.prefixes[content]

    @property
    def is_idle(self) -> bool:
        return not (self.num_requests or self.queued_tokens or self.blocks_taken)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that is known. `blocks`: KV blocks that it and its answer may need together."""

    ids: tuple[int, ...]
    block_hashes: tuple[str, ...]
    blocks: int


@dataclass(slots=True)
class Placement:
    """Where a request is computed, and what is counted as taken for it there.

    sequence_id    what its chips call it
    is_reserved    the decode chip holds room, or needs no reservation
    is_prefilling  its first token is not there yet
    finished_on    chips that said themselves that they let go of it
    """

    sequence_id: str
    prefill_chip: str
    decode_chip: str
    is_reserved: bool = False
    is_prefilling: bool = True
    finished_on: list[str] = field(default_factory=list)

    @property
    def chips(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.prefill_chip, self.decode_chip)))


def take(chips: Mapping[str, ChipState], placement: Placement, prompt: Prompt) -> None:
    """Count what it takes on its chips."""
    source, target = chips[placement.prefill_chip], chips[placement.decode_chip]
    source.num_requests += 1
    source.queued_tokens += len(prompt.ids)
    target.num_requests += 1
    target.blocks_taken += prompt.blocks


def prefilled(chips: Mapping[str, ChipState], placement: Placement, prompt: Prompt) -> None:
    """Its first token is there: the prefill chip is done with it, and holds its prefix."""
    placement.is_prefilling = False
    source = chips[placement.prefill_chip]
    source.num_requests -= 1
    source.queued_tokens -= len(prompt.ids)
    source.holds(prompt.block_hashes)


def let_go(chips: Mapping[str, ChipState], placement: Placement, prompt: Prompt) -> None:
    """Count back what it still takes."""
    if placement.is_prefilling:
        source = chips[placement.prefill_chip]
        source.num_requests -= 1
        source.queued_tokens -= len(prompt.ids)
    target = chips[placement.decode_chip]
    target.num_requests -= 1
    target.blocks_taken -= prompt.blocks

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

    epoch             its incarnation (`cluster.router.incarnations`)
    queued_tokens     prompt tokens given to it and not yet prefilled
    blocks_taken      KV blocks that placed requests may come to need here; with a watermark, that
                      they need by now
    prefixes          hashes of blocks that it probably holds, the latest last
    watermark_blocks  that stay free when a request is placed beside others; None reserves all that
                      it may ever need
    sharers           with a watermark: full prompt block -> how many placed requests share it
    gives_away        with a watermark: what requests grow by leaves for memory servers, and is not
                      counted; where these refuse it, the chip preempts as for any other lack
    is_silent         it says nothing: nothing new is placed here
    is_draining       nothing new is placed here: it leaves when what it has has ended
    granules          blocks as prompts count them, the largest of which all chips' are made, in one
                      block of its own
    layers, windowed, whole_most   where windowed layers give back what lies behind their window:
                      `num_blocks` and `blocks_taken` count single layers of blocks, so many to a
                      block; of a request's blocks all but `whole_most` lack `windowed` of these
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
    watermark_blocks: int | None = None
    sharers: dict[str, int] = field(default_factory=dict)
    is_silent: bool = False
    is_draining: bool = False
    gives_away: bool = False
    granules: int = 1
    layers: int = 1
    windowed: int = 0
    whole_most: int = 0

    def blocks_of(self, num_granules: int) -> int:
        """Of its own, that hold so many."""
        blocks = -(-num_granules // self.granules)
        behind = max(0, blocks - self.whole_most) if self.windowed else 0
        return self.layers * blocks - self.windowed * behind

    def names_of(self, block_hashes: Sequence[str]) -> Sequence[str]:
        """Of its own full blocks: a prefix is named by its end."""
        return block_hashes[self.granules - 1 :: self.granules]

    def has_room(self, prompt: "Prompt") -> bool:
        """For the whole request; with a watermark for its prompt, if the whole fits alone."""
        blocks = self.blocks_of(prompt.blocks)
        if self.watermark_blocks is None:
            return self.blocks_taken + blocks <= self.num_blocks
        shared = sum(1 for name in self.names_of(prompt.block_hashes) if name in self.sharers)
        spare = self.watermark_blocks if self.num_requests else 0
        wanted = self.blocks_taken + self.blocks_of(prompt.first_blocks) - shared + spare
        return wanted <= self.num_blocks and blocks <= self.num_blocks

    def take(self, prompt: "Prompt") -> int:
        """Count a request in; returns how many blocks are its own by now."""
        self.num_requests += 1
        if self.watermark_blocks is None:
            blocks = self.blocks_of(prompt.blocks)
            self.blocks_taken += blocks
            return blocks
        names = self.names_of(prompt.block_hashes)
        for content in names:
            self.sharers[content] = self.sharers.get(content, 0) + 1
            self.blocks_taken += self.sharers[content] == 1
        own_blocks = self.blocks_of(prompt.first_blocks) - len(names)
        self.blocks_taken += own_blocks
        return own_blocks

    def let_go(self, prompt: "Prompt", own_blocks: int) -> None:
        """Count it out again."""
        self.num_requests -= 1
        self.blocks_taken -= own_blocks
        if self.watermark_blocks is None:
            return
        for content in self.names_of(prompt.block_hashes):
            self.sharers[content] -= 1
            if not self.sharers[content]:
                del self.sharers[content]
                self.blocks_taken -= 1

    def prefix_hits(self, block_hashes: Sequence[str]) -> int:
        """Of a prompt's leading blocks, those that this chip probably holds."""
        for index, content in enumerate(self.names_of(block_hashes)):
            if content not in self.prefixes:
                return index * self.granules
        return len(block_hashes)

    def holds(self, block_hashes: Sequence[str]) -> None:
        """It has computed these: the latest are remembered longest."""
        for content in self.names_of(block_hashes):
            self.prefixes.pop(content, None)
            self.prefixes[content] = None
        if len(self.prefixes) > PREFIXES_PER_CHIP_MAX:
            for content in list(islice(self.prefixes, PREFIXES_PER_CHIP_MAX // 8)):
                del self.prefixes[content]

    @property
    def is_idle(self) -> bool:
        return not (self.num_requests or self.queued_tokens or self.blocks_taken or self.sharers)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that is known.

    block_hashes   of its full blocks, in the granules of all chips; empty where chips share none
    blocks         of these, that it and its answer may need together
    first_blocks   that it and its first token need; 0 in journals from before watermarks, whose
                   chips have none
    """

    ids: tuple[int, ...]
    block_hashes: tuple[str, ...]
    blocks: int
    first_blocks: int = 0


@dataclass(slots=True)
class Placement:
    """Where a request is computed, and what is counted as taken for it there.

    sequence_id    what its chips call it
    is_reserved    the decode chip holds room, or needs no reservation
    is_prefilling  its first token is not there yet
    finished_on    chips that said themselves that they let go of it
    is_handed_over   its decode chip has told a token, so it has all KV
    own_blocks     of the decode chip, taken for it; those shared with others left out
    """

    sequence_id: str
    prefill_chip: str
    decode_chip: str
    is_reserved: bool = False
    is_prefilling: bool = True
    finished_on: list[str] = field(default_factory=list)
    own_blocks: int = 0
    is_handed_over: bool = False

    @property
    def chips(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.prefill_chip, self.decode_chip)))

    def needs(self, chip: str) -> bool:
        """Whether it is lost with this chip."""
        is_over = self.is_handed_over and not self.is_prefilling  # the first token was told, too
        return chip == self.decode_chip or (chip == self.prefill_chip and not is_over)


def take(chips: Mapping[str, ChipState], placement: Placement, prompt: Prompt) -> None:
    """Count what it takes on its chips."""
    source, target = chips[placement.prefill_chip], chips[placement.decode_chip]
    source.num_requests += 1
    source.queued_tokens += len(prompt.ids)
    placement.own_blocks = target.take(prompt)


def grown(
    chips: Mapping[str, ChipState], placement: Placement, prompt: Prompt, num_blocks: int
) -> None:
    """It needs so many blocks by now; counts where not all that it may need was taken at once."""
    target = chips[placement.decode_chip]
    own_blocks = target.blocks_of(num_blocks) - len(target.names_of(prompt.block_hashes))
    if target.watermark_blocks is None or target.gives_away:
        return
    if own_blocks > placement.own_blocks:
        target.blocks_taken += own_blocks - placement.own_blocks
        placement.own_blocks = own_blocks


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
    chips[placement.decode_chip].let_go(prompt, placement.own_blocks)

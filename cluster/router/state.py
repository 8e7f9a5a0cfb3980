"""What the router knows of the cluster. It changes by `apply(event)` and in no other way, so a
journal of events replayed gives the same state."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.router.events import (
    ChipLost,
    Event,
    FirstTokenSampled,
    PlacementRefused,
    RequestAdmitted,
    RequestEnded,
    RequestPlaced,
    RequestPrepared,
)

# Block hashes that the router believes a chip to hold: its picture of the chip's prefix cache, not
# the cache itself.
PREFIXES_PER_CHIP_MAX = 1 << 16


@dataclass(slots=True)
class ChipState:
    """One chip as the router sees it.

    queued_tokens   prompt tokens given to it and not yet prefilled
    blocks_taken    KV blocks that placed requests may come to need here
    """

    name: str
    role: str
    num_blocks: int
    alive: bool = True
    num_requests: int = 0
    queued_tokens: int = 0
    blocks_taken: int = 0
    prefixes: "OrderedDict[bytes, None]" = field(default_factory=OrderedDict)

    def prefix_hits(self, block_hashes: Sequence[bytes]) -> int:
        """Leading blocks that this chip probably holds."""
        for index, content in enumerate(block_hashes):
            if content not in self.prefixes:
                return index
        return len(block_hashes)


@dataclass(slots=True)
class RequestState:
    """One request between admission and end."""

    num_prompt: int = 0
    blocks: int = 0
    block_hashes: tuple[bytes, ...] = ()
    prefill_chip: str = ""
    decode_chip: str = ""
    prefilling: bool = False


class RouterState:
    """Chips and requests. Raises KeyError or AssertionError on an event that cannot have
    happened.
    """

    def __init__(self, chips: Sequence[ChipState], block_size: int) -> None:
        self.chips = {chip.name: chip for chip in chips}
        self.requests: dict[str, RequestState] = {}
        self._block_size = block_size
        self.num_admitted = 0

    def apply(self, event: Event) -> None:
        match event:
            case RequestAdmitted(request_id):
                assert request_id not in self.requests, f"{request_id} was admitted twice"
                self.requests[request_id] = RequestState()
                self.num_admitted += 1
            case RequestPrepared(request_id, num_prompt, max_tokens, block_hashes):
                request = self.requests[request_id]
                request.num_prompt, request.block_hashes = num_prompt, block_hashes
                request.blocks = -(-(num_prompt + max_tokens) // self._block_size)
            case RequestPlaced(request_id, prefill_chip, decode_chip):
                self._place(self.requests[request_id], prefill_chip, decode_chip)
            case PlacementRefused(request_id):
                self._unplace(self.requests[request_id])
            case FirstTokenSampled(request_id):
                self._prefilled(self.requests[request_id])
            case RequestEnded(request_id):
                self._unplace(self.requests.pop(request_id))
            case ChipLost(chip):
                self.chips[chip].alive = False

    def _place(self, request: RequestState, prefill_chip: str, decode_chip: str) -> None:
        request.prefill_chip, request.decode_chip = prefill_chip, decode_chip
        request.prefilling = True
        source, target = self.chips[prefill_chip], self.chips[decode_chip]
        source.num_requests += 1
        source.queued_tokens += request.num_prompt
        target.num_requests += 1
        target.blocks_taken += request.blocks

    def _prefilled(self, request: RequestState) -> None:
        if not request.prefilling:
            return
        request.prefilling = False
        chip = self.chips[request.prefill_chip]
        chip.num_requests -= 1
        chip.queued_tokens -= request.num_prompt
        for content in request.block_hashes:
            chip.prefixes[content] = None
            chip.prefixes.move_to_end(content)
        while len(chip.prefixes) > PREFIXES_PER_CHIP_MAX:
            chip.prefixes.popitem(last=False)

    def _unplace(self, request: RequestState) -> None:
        if not request.decode_chip:
            return
        if request.prefilling:
            source = self.chips[request.prefill_chip]
            source.num_requests -= 1
            source.queued_tokens -= request.num_prompt
        target = self.chips[request.decode_chip]
        target.num_requests -= 1
        target.blocks_taken -= request.blocks
        request.prefill_chip = request.decode_chip = ""
        request.prefilling = False

    def is_idle(self) -> bool:
        """Law 4: with no request inside, nothing is counted as taken."""
        return not self.requests and all(
            not (chip.num_requests or chip.queued_tokens or chip.blocks_taken)
            for chip in self.chips.values()
        )

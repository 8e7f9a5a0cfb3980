"""All that the router knows. Plain data, compared with ==; `Machine.apply` alone changes it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.api.request import Request
from cluster.router.machine.actions import Said
from cluster.router.machine.chips import ChipState, Placement, Prompt
from cluster.router.machine.sampled import SampledToken
from cluster.router.machine.stages import Stage
from cluster.router.machine.store_state import StoreState


@dataclass(slots=True)
class Stream:
    """One generation as its reader sees it.

    tokens         delivered ones; position i is tokens[i]
    early          tokens that came before one that is still missing, whatever their order
    finish_reason  "" until its last output was said
    times_ns       phase -> emulated nanoseconds, as far as they are known
    is_approximate a token of it is: so are all that follow
    """

    tokens: list[int] = field(default_factory=list)
    early: list[SampledToken] = field(default_factory=list)
    num_cached: int = 0
    finish_reason: str = ""
    times_ns: dict[str, int] = field(default_factory=dict)
    is_approximate: bool = False


@dataclass(slots=True)
class RequestState:
    """One request between admission and end.

    stages     what is still to be done, the present one first
    since_ns   when it began to wait for what it now waits for
    attempt    how often its generation was begun anew
    losses     how often of these because chips failed it; `avoided`: which, asked again only where
               no other has room
    """

    request: Request
    reader: str
    reader_epoch: int
    deadline_ns: int
    stages: list[Stage]
    since_ns: int
    is_accepted: bool = False
    passages: tuple[str, ...] = ()
    prompt: Prompt | None = None
    placement: Placement | None = None
    attempt: int = 0
    losses: int = 0
    avoided: list[str] = field(default_factory=list)
    stream: Stream = field(default_factory=Stream)

    @property
    def request_id(self) -> str:
        return self.request.request_id

    def spend(self, phase: str, duration_ns: int) -> None:
        times_ns = self.stream.times_ns
        times_ns[phase] = times_ns.get(phase, 0) + duration_ns


@dataclass(slots=True)
class Outbox:
    """Outputs that one reader has not acknowledged yet, oldest first. They outlive requests."""

    reader_epoch: int
    said: list[Said] = field(default_factory=list)


@dataclass(slots=True)
class RouterState:
    """block_size      tokens in a KV block, as prompts count them (`ChipState.granules`)
    sequences       sequence id -> request id, of what is placed
    line            requests that wait for KV room, first come first served
    is_line_woken   something was let go since the head of the line last tried
    aborts          chip -> sequences that it has yet to let go of
    stores          by id, oldest first; num_stores_named counts deleted ones too
    dropped_stores  deleted ones that memory servers may still hold
    attempts_max    how often chips may begin a request, until they have failed it for good
    """

    block_size: int
    chips: dict[str, ChipState]
    requests: dict[str, RequestState] = field(default_factory=dict)
    sequences: dict[str, str] = field(default_factory=dict)
    line: list[str] = field(default_factory=list)
    is_line_woken: bool = False
    aborts: dict[str, list[str]] = field(default_factory=dict)
    outboxes: dict[str, Outbox] = field(default_factory=dict)
    is_draining: bool = False
    stores: dict[str, StoreState] = field(default_factory=dict)
    num_stores_named: int = 0
    dropped_stores: list[str] = field(default_factory=list)
    attempts_max: int = 3

    @classmethod
    def fresh(cls, block_size: int, chips: Iterable[ChipState]) -> "RouterState":
        """Before anything happened."""
        return cls(block_size, {chip.name: chip for chip in chips})

    def blocks_for(self, num_tokens: int) -> int:
        """KV blocks that hold so many tokens."""
        return -(-num_tokens // self.block_size)

    def request_of(self, sequence_id: str) -> RequestState | None:
        """The request that a chip means; None if it has ended, or goes on under another id."""
        request_id = self.sequences.get(sequence_id)
        return None if request_id is None else self.requests[request_id]

    def is_done(self, chip: str) -> bool:
        """Whether a chip has ended all that it was given, and heard all that it should let go."""
        return self.chips[chip].is_idle and chip not in self.aborts

    @property
    def is_idle(self) -> bool:
        """Law 4: with no request inside, nothing is counted as taken and nothing is unsaid."""
        requests = self.requests or self.sequences or self.line or self.outboxes
        return not requests and all(chip.is_idle for chip in self.chips.values())

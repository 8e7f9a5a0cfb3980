"""What happened, as the router learned of it. Past tense, immutable, plain data.

Every event has `at_ns`, the emulated time at which the router learned of it. A `fault` is an error
as `workers.errors.to_body` gives it. Requests are known to chips as sequences: the first attempt at
a request has its id, a later one an id of its own, so that no message of one is taken for the
other's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from cluster.api.request import Request
from cluster.router.machine.sampled import SampledToken
from cluster.router.machine.scaling_events import ScalingEvent
from cluster.router.machine.store_events import StoreEvent
from cluster.router.machine.watch_events import WatchEvent

Fault = Mapping[str, Any]


class ImpossibleEvent(ValueError):
    """This cannot have happened; the state is as before."""


# -- the life of a request -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestSubmitted:
    """A request came and is not refused at the door.

    deadline_ns            point in emulated time by which it ends
    reader, reader_epoch   worker that hears its outputs, and incarnation of that worker's node
    """

    at_ns: int
    request: Request
    deadline_ns: int
    reader: str
    reader_epoch: int


@dataclass(frozen=True, slots=True)
class PassagesFound:
    """Texts of the passages that it asked for, best first."""

    at_ns: int
    request_id: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromptPrepared:
    """Its prompt is known and fits: it is accepted, and promised an end.

    block_hashes   of the prompt's full blocks, hexadecimal; see BlockManager
    max_tokens     of its answer, as far as there is room; 0: as the request says
    """

    at_ns: int
    request_id: str
    prompt_ids: tuple[int, ...]
    block_hashes: tuple[str, ...]
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """It cannot go on: its prompt does not fit, or a call for it was refused or not answered."""

    at_ns: int
    request_id: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """Its reader went away."""

    at_ns: int
    request_id: str


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    at_ns: int
    request_id: str


@dataclass(frozen=True, slots=True)
class RoomReserved:
    """The decode chip holds KV blocks for it; KV is wanted from block `first_block` on."""

    at_ns: int
    sequence_id: str
    first_block: int


@dataclass(frozen=True, slots=True)
class RoomRefused:
    """The decode chip has no room after all, and holds nothing."""

    at_ns: int
    sequence_id: str


@dataclass(frozen=True, slots=True)
class LineWaited:
    """Nobody left the line for KV room for a while; a chip may have found room untold."""

    at_ns: int


# -- what chips say ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokensSampled:
    """One step of one chip, or several that are told together. Sequences that ended here meanwhile
    may be among them.
    """

    at_ns: int
    chip: str
    tokens: tuple[SampledToken, ...]


@dataclass(frozen=True, slots=True)
class SequenceFailed:
    """A chip cannot go on with it, and has let go of it."""

    at_ns: int
    chip: str
    sequence_id: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class AbortSettled:
    """The chip has let go of the sequence, or will never hear that it should."""

    at_ns: int
    chip: str
    sequence_id: str


# -- who comes and goes --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChipLost:
    """This incarnation of a chip does not answer any more, and has forgotten everything."""

    at_ns: int
    chip: str
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChipJoined:
    """A lost chip is back as another incarnation, empty."""

    at_ns: int
    chip: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ReaderLost:
    """Nobody hears the outputs of what it submitted up to this incarnation."""

    at_ns: int
    reader: str
    epoch: int


@dataclass(frozen=True, slots=True)
class OutputsHeard:
    """The reader has acknowledged its `num_outputs` oldest outputs."""

    at_ns: int
    reader: str
    num_outputs: int


@dataclass(frozen=True, slots=True)
class OutputsLost:
    """They were told again and again, and are given up."""

    at_ns: int
    reader: str
    num_outputs: int


@dataclass(frozen=True, slots=True)
class DrainBegan:
    """Nothing new is taken from now on."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class RouterRestarted:
    """This router is another incarnation: calls of the one before it are answered to nobody.

    chips   those that live now, and their incarnations
    """

    at_ns: int
    chips: Mapping[str, int]


Event = (
    RequestSubmitted
    | PassagesFound
    | PromptPrepared
    | RequestFailed
    | RequestCancelled
    | DeadlinePassed
    | RoomReserved
    | RoomRefused
    | LineWaited
    | TokensSampled
    | SequenceFailed
    | AbortSettled
    | ChipLost
    | ChipJoined
    | ReaderLost
    | OutputsHeard
    | OutputsLost
    | DrainBegan
    | RouterRestarted
    | ScalingEvent
    | WatchEvent
    | StoreEvent
)
EVENTS: tuple[type[Event], ...] = get_args(Event)

"""What is to be done next, as plain data; a shell performs it. What comes of it is an event."""

from dataclasses import dataclass, field

from cluster.api.output import Output
from cluster.api.request import Request
from cluster.router.machine.events import Fault
from workers.model.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Search the passages that the request asks for: PassagesFound or RequestFailed."""

    request: Request


@dataclass(frozen=True, slots=True)
class Prepare:
    """Render and tokenise the prompt: PromptPrepared or RequestFailed."""

    request: Request
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accept:
    """Answer whoever submitted it: outputs will follow."""

    request_id: str
    num_prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer whoever submitted it: it is forgotten."""

    request_id: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class AwaitDeadline:
    """DeadlinePassed, should the request still be here then."""

    request_id: str
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class AwaitRoom:
    """LineWaited in a while, instead of any earlier such wait."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """What a chip is told of a sequence. `request_id` is whose it is, `deadline_ns` a point in
    emulated time; `sent_ids` are tokens of its answer by now, after which it goes on.
    """

    request_id: str
    sequence_id: str
    prompt_ids: tuple[int, ...] = field(repr=False)
    sampling: SamplingParams
    deadline_ns: int
    sent_ids: tuple[int, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Reserve:
    """Ask a decode chip for room: RoomReserved, RoomRefused or RequestFailed."""

    chip: str
    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Prefill:
    """Have a chip compute the prompt and hand its KV, from block `first_block` on, to
    `decode_chip`: TokensSampled, or RequestFailed if the chip does not take it.
    """

    chip: str
    sequence: Sequence
    decode_chip: str
    first_block: int


@dataclass(frozen=True, slots=True)
class Generate:
    """Have a chip compute the prompt and all tokens: TokensSampled or RequestFailed."""

    chip: str
    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Abort:
    """Have a chip let go of a sequence, until it has heard or is gone: AbortSettled."""

    chip: str
    sequence_id: str


@dataclass(frozen=True, slots=True)
class Forget:
    """The request has left: give up its calls and its deadline."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """The request is begun anew because of the fault: give up its calls."""

    request_id: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Said:
    """An output on its way. logits: [1, V] float32, little-endian, or nothing."""

    output: Output
    logits: bytes = b""


@dataclass(frozen=True, slots=True)
class Say:
    """Tell a reader, in order: OutputsHeard or OutputsLost."""

    reader: str
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class DropStore:
    """Have every memory server delete it: StoreDropped."""

    store_id: str


@dataclass(frozen=True, slots=True)
class DropPassages:
    """Have every memory server take back what came of an addition that failed: PassagesDropped."""

    store_id: str
    first_id: int
    num_passages: int


Action = (
    Retrieve
    | Prepare
    | Accept
    | Refuse
    | AwaitDeadline
    | AwaitRoom
    | Reserve
    | Prefill
    | Generate
    | Abort
    | Forget
    | Abandon
    | Say
    | DropStore
    | DropPassages
)

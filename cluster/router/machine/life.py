"""The life of a request, stage by stage, until chips take over."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from cluster.api.deadlines import too_late
from cluster.router.machine.actions import Accept, AwaitDeadline, Prepare, Retrieve
from cluster.router.machine.anew import OF_CHIPS, UNANSWERED, lost
from cluster.router.machine.chips import Prompt
from cluster.router.machine.ending import fail, leave
from cluster.router.machine.events import (
    DeadlinePassed,
    PassagesFound,
    PromptPrepared,
    RequestCancelled,
    RequestFailed,
    RequestSubmitted,
)
from cluster.router.machine.room import seek
from cluster.router.machine.stages import (
    Decoding,
    Prefilling,
    Preparing,
    Retrieving,
    Stage,
    stages_of,
)
from cluster.router.machine.state import RequestState
from cluster.router.machine.stream import end
from cluster.router.machine.turn import Turn
from workers.errors import Cancelled, to_body


def _retrieve(turn: Turn, request: RequestState) -> None:
    turn.do(Retrieve(request.request))


def _prepare(turn: Turn, request: RequestState) -> None:
    turn.do(Prepare(request.request, request.passages))


def _decode(turn: Turn, request: RequestState) -> None:
    """Its chips go on by themselves."""


# What is asked for when a stage's turn comes.
BEGIN: Mapping[type[Stage], Callable[[Turn, RequestState], None]] = {
    Retrieving: _retrieve,
    Preparing: _prepare,
    Prefilling: seek,
    Decoding: _decode,
}


def begin(turn: Turn, request: RequestState) -> None:
    """Its present stage begins."""
    request.since_ns = turn.at_ns
    BEGIN[type(request.stages[0])](turn, request)


def advance(turn: Turn, request: RequestState) -> None:
    """The present stage is over; the next one begins."""
    request.stages.pop(0)
    begin(turn, request)


def submitted(turn: Turn, event: RequestSubmitted) -> None:
    state, request_id = turn.state, event.request.request_id
    turn.check(not state.is_draining, f"{request_id} came to a router that drains")
    is_free = request_id not in state.requests and request_id not in state.sequences
    turn.check(is_free, f"{request_id} is in use")
    outbox = state.outboxes.get(event.reader)
    turn.check(
        outbox is None or outbox.reader_epoch == event.reader_epoch,
        f"{event.reader} has outputs of another incarnation before it",
    )
    request = RequestState(
        event.request,
        event.reader,
        event.reader_epoch,
        event.deadline_ns,
        stages_of(event.request),
        event.at_ns,
    )
    state.requests[request_id] = request
    turn.do(AwaitDeadline(request_id, request.deadline_ns))
    begin(turn, request)


def passages_found(turn: Turn, event: PassagesFound) -> None:
    request = turn.request_in(event.request_id, Retrieving)
    request.passages = event.passages
    request.spend("retrieval", turn.at_ns - request.since_ns)
    advance(turn, request)


def prompt_prepared(turn: Turn, event: PromptPrepared) -> None:
    request = turn.request_in(event.request_id, Preparing)
    turn.check(event.prompt_ids, f"the prompt of {event.request_id} is empty")
    num_tokens, blocks_for = len(event.prompt_ids), turn.state.blocks_for
    sampling = request.request.sampling
    max_tokens = event.max_tokens or sampling.max_tokens
    if max_tokens != sampling.max_tokens:
        shorter = replace(sampling, max_tokens=max_tokens)
        request.request = replace(request.request, sampling=shorter)
    blocks = blocks_for(num_tokens + max_tokens)
    first_blocks = blocks_for(num_tokens + 1)
    request.prompt = Prompt(event.prompt_ids, event.block_hashes, blocks, first_blocks)
    request.spend("preparation", turn.at_ns - request.since_ns)
    request.is_accepted = True
    turn.do(Accept(event.request_id, len(event.prompt_ids)))
    advance(turn, request)


def failed(turn: Turn, event: RequestFailed) -> None:
    request = turn.request(event.request_id)
    placement = request.placement
    if placement is not None and event.fault["code"] in (*OF_CHIPS, UNANSWERED):
        asked = placement.prefill_chip if placement.is_reserved else placement.decode_chip
        lost(turn, request, event.fault, [asked])
    else:
        fail(turn, request, event.fault)


def cancelled(turn: Turn, event: RequestCancelled) -> None:
    request = turn.request(event.request_id)
    if not request.is_accepted:
        text = f"{event.request_id} was cancelled before it began"
        fail(turn, request, to_body(Cancelled(text)))
        return
    turn.say(request.reader, request.reader_epoch, end(request, "cancelled"))
    leave(turn, request)


def deadline_passed(turn: Turn, event: DeadlinePassed) -> None:
    request = turn.request(event.request_id)
    is_late = turn.at_ns >= request.deadline_ns
    turn.check(is_late, f"the deadline of {event.request_id} is still to come")
    late = too_late(request.request.arrived_ns, request.deadline_ns)
    fail(turn, request, to_body(late))

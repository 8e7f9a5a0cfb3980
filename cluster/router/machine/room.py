"""Room on chips: who is placed where, and who waits in line for it, first come first served.

    seek ─▶ place ─▶ Reserve ─ RoomReserved ▶ Prefill        a chip that does both: Generate at once
              │ none has room      │ RoomRefused
              ▼                    ▼
             line: its head tries whenever something was let go, or a while later

While somebody is in line, only the head may try. Whoever tries is counted as placed, so that two
decisions never rest on the same room; a refusal counts it back.
"""

from cluster.router.machine.actions import (
    AwaitRoom,
    Generate,
    Prefill,
    Reserve,
    Sequence,
)
from cluster.router.machine.chips import Placement, prefilled, take
from cluster.router.machine.ending import fail, step_out, unplace
from cluster.router.machine.events import ImpossibleEvent, LineWaited, RoomRefused, RoomReserved
from cluster.router.machine.placement import missing_role, place
from cluster.router.machine.state import RequestState, RouterState
from cluster.router.machine.turn import Turn
from workers.errors import PeerDead, to_body


def seek(turn: Turn, request: RequestState) -> None:
    """A prompt is ready to be computed: place it, or let it wait."""
    state = turn.state
    if not state.line and _place(turn, request):
        return
    state.line.append(request.request_id)
    if state.line[0] == request.request_id:
        _wait(turn, request)


def serve(turn: Turn) -> None:
    """At the end of every turn: the head of the line tries if it was woken, then the next one."""
    state = turn.state
    while state.is_line_woken and state.line:
        head = state.requests[state.line[0]]
        if head.placement is not None:
            return  # it is trying; should that be refused, it tries again at once
        state.is_line_woken = False
        if not _place(turn, head):
            _wait(turn, head)
    if not state.line:
        state.is_line_woken = False


def reserved(turn: Turn, event: RoomReserved) -> None:
    request, placement = _trying(turn.state, event.sequence_id)
    placement.is_reserved = True
    step_out(turn, request)
    request.spend("queue", turn.at_ns - request.since_ns)
    chip, sequence = placement.prefill_chip, _sequence(request, placement)
    turn.do(Prefill(chip, sequence, placement.decode_chip, event.first_block))


def refused(turn: Turn, event: RoomRefused) -> None:
    request, _ = _trying(turn.state, event.sequence_id)
    state = turn.state
    unplace(turn, request)
    if request.request_id not in state.line:
        state.line.append(request.request_id)
    if state.line[0] == request.request_id and not state.is_line_woken:
        _wait(turn, request)


def line_waited(turn: Turn, _: LineWaited) -> None:
    turn.check(turn.state.line, "nobody is in line")
    turn.state.is_line_woken = True


def first_token_sampled(turn: Turn, request: RequestState) -> None:
    """Its prefill chip is done with it."""
    assert request.placement is not None, f"{request.request_id} is placed"
    assert request.prompt is not None, f"{request.request_id} is placed, so its prompt is known"
    prefilled(turn.state.chips, request.placement, request.prompt)


def _place(turn: Turn, request: RequestState) -> bool:
    state, prompt = turn.state, request.prompt
    assert prompt is not None, f"{request.request_id} seeks room for a prompt that is known"
    choice = place(state.chips.values(), prompt, request.avoided)
    if choice is None:
        return False
    placement = Placement(_sequence_id(state, request), *choice)
    request.placement = placement
    state.sequences[placement.sequence_id] = request.request_id
    take(state.chips, placement, prompt)
    sequence = _sequence(request, placement)
    if placement.prefill_chip == placement.decode_chip:
        placement.is_reserved = True
        step_out(turn, request)
        request.spend("queue", turn.at_ns - request.since_ns)
        turn.do(Generate(placement.prefill_chip, sequence))
    else:
        turn.do(Reserve(placement.decode_chip, sequence))
    return True


def _wait(turn: Turn, head: RequestState) -> None:
    """Nowhere is room for the head of the line: it waits, unless there never will be."""
    role = missing_role(turn.state.chips.values())
    if role is None:
        turn.do(AwaitRoom())
    else:
        fail(turn, head, to_body(PeerDead(f"no {role} chip is left: nothing can be placed")))


def _trying(state: RouterState, sequence_id: str) -> tuple[RequestState, Placement]:
    request = state.request_of(sequence_id)
    if request is None or request.placement is None or request.placement.is_reserved:
        raise ImpossibleEvent(f"{sequence_id} does not wait for an answer about room")
    return request, request.placement


def _sequence(request: RequestState, placement: Placement) -> Sequence:
    assert request.prompt is not None, f"{request.request_id} is placed, so its prompt is known"
    wanted = request.request
    return Sequence(
        wanted.request_id,
        placement.sequence_id,
        request.prompt.ids,
        wanted.sampling,
        request.deadline_ns,
        tuple(request.stream.tokens),
    )


def _sequence_id(state: RouterState, request: RequestState) -> str:
    """The request's own id for its first attempt, then one that nobody has."""
    name, number = request.request_id, request.attempt
    while number and (
        f"{name}~{number}" in state.sequences or f"{name}~{number}" in state.requests
    ):
        number += 1
    return f"{name}~{number}" if number else name

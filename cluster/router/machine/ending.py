"""How requests leave: whatever happens, all that was taken is let go and the reader hears the
end.
"""

from cluster.router.machine.actions import Abort, Forget, Refuse
from cluster.router.machine.chips import let_go
from cluster.router.machine.events import Fault
from cluster.router.machine.state import RequestState
from cluster.router.machine.stream import end
from cluster.router.machine.turn import Turn


def fail(turn: Turn, request: RequestState, fault: Fault) -> None:
    """End with an error: as the answer to its submission, or as its last output."""
    if request.is_accepted:
        turn.say(request.reader, request.reader_epoch, end(request, "error", fault))
    else:
        turn.do(Refuse(request.request_id, fault))
    leave(turn, request)


def leave(turn: Turn, request: RequestState) -> None:
    """It is no more; its chips hear so, and whoever waits for room may try."""
    turn.do(Forget(request.request_id))
    displace(turn, request)
    step_out(turn, request)
    del turn.state.requests[request.request_id]
    turn.texts.drop(request.request_id)


def displace(turn: Turn, request: RequestState) -> None:
    """Let go of its chips. Those that may still hold something for it are told, each until it has
    heard: nobody else will take it from them.
    """
    state, placement = turn.state, request.placement
    if placement is None:
        return
    unplace(turn, request)
    for chip in placement.chips:
        if chip not in placement.finished_on and state.chips[chip].alive:
            state.aborts.setdefault(chip, []).append(placement.sequence_id)
            turn.do(Abort(chip, placement.sequence_id))


def unplace(turn: Turn, request: RequestState) -> None:
    """Count back what it takes on its chips."""
    state, placement = turn.state, request.placement
    assert placement is not None, f"{request.request_id} is not placed"
    assert request.prompt is not None, f"{request.request_id} is placed, so its prompt is known"
    let_go(state.chips, placement, request.prompt)
    del state.sequences[placement.sequence_id]
    request.placement = None


def step_out(turn: Turn, request: RequestState) -> None:
    """Out of the line, if it is in it; the next one may try."""
    if request.request_id in turn.state.line:
        turn.state.line.remove(request.request_id)
    turn.state.is_line_woken = True

"""A generation that is begun anew: on other chips, or of a router that was restarted.

It is a sequence of its own, which no late message of the one before can touch, and goes on after
the tokens that its reader has: chance is keyed by seed and position, and whatever else chooses a
token follows from the tokens before it.
"""

from collections.abc import Iterable
from dataclasses import replace

from cluster.router.machine.actions import Abandon
from cluster.router.machine.ending import displace, fail, step_out
from cluster.router.machine.events import Fault
from cluster.router.machine.placement import missing_role
from cluster.router.machine.stages import generation
from cluster.router.machine.state import RequestState
from cluster.router.machine.turn import Turn

# What chips and their links do to a request. Everything else is its own fault, or a bug, and would
# be the same elsewhere.
OF_CHIPS = ("peer_dead", "corrupt_message")
# A chip does not answer a call; and one that knows nothing of a sequence that it was given.
UNANSWERED, UNKNOWN = "deadline_exceeded", "not_found"
# A fact of a fault: nobody has experts of this shard any more, so no other chip would be of help.
EXPERTS_OF = "experts_of"


def lost(turn: Turn, request: RequestState, fault: Fault, chips: Iterable[str]) -> None:
    """What these chips had of it is lost, because of them: it is begun anew, elsewhere if it can
    be. It ends with the fault where nothing can be placed any more, after as many attempts as there
    may be, or past its deadline.
    """
    state, attempts, fault = turn.state, request.losses + 1, _of_chips(fault)
    if missing_role(state.chips.values()) is not None or turn.at_ns >= request.deadline_ns:
        fail(turn, request, fault)
    elif attempts >= state.attempts_max:
        fail(turn, request, _given_up(fault, attempts))
    else:
        request.losses = attempts
        request.avoided.extend(chip for chip in chips if chip not in request.avoided)
        turn.do(Abandon(request.request_id, fault))
        step_out(turn, request)
        begin_anew(turn, request)
        _queue_up(turn, request)


def begin_anew(turn: Turn, request: RequestState, gone: Iterable[str] = ()) -> None:
    """It waits for room again; `gone`: chips that have forgotten everything."""
    if request.placement is not None:
        request.placement.finished_on.extend(gone)
        displace(turn, request)
        request.attempt += 1
    request.stages[:] = generation()
    request.since_ns = turn.at_ns
    request.stream.early.clear()
    prompt = request.prompt
    assert prompt is not None, f"{request.request_id} has been placed, or is about to be"
    num_tokens = len(prompt.ids) + len(request.stream.tokens)
    request.prompt = replace(prompt, first_blocks=turn.state.blocks_for(num_tokens + 1))


def _queue_up(turn: Turn, request: RequestState) -> None:
    """Those that had room go first, in their order; but nobody before a head that is trying."""
    state = turn.state
    others = [state.requests[name] for name in state.line]
    ahead = [other.losses > 0 or other.placement is not None for other in others]
    state.line.insert([*ahead, False].index(False), request.request_id)
    state.is_line_woken = True


def _given_up(fault: Fault, attempts: int) -> Fault:
    """As it is told where it would not be tried again."""
    if attempts == 1:
        return fault
    return {**fault, "message": f"{fault['message']} (attempt {attempts} of {attempts})"}


def _of_chips(fault: Fault) -> Fault:
    """That a chip knows nothing of a sequence is no user's "not found": what it had is gone."""
    return {**fault, "code": "peer_dead"} if fault["code"] == UNKNOWN else fault

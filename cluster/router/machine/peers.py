"""Who comes and goes: chips, readers, and this router itself."""

from collections.abc import Mapping

from cluster.router.machine.actions import (
    Abort,
    AwaitDeadline,
    DropPassages,
    DropStore,
    Forget,
    Said,
    Say,
)
from cluster.router.machine.anew import begin_anew, lost
from cluster.router.machine.ending import fail, leave
from cluster.router.machine.events import (
    ChipJoined,
    ChipLost,
    DrainBegan,
    ImpossibleEvent,
    OutputsHeard,
    OutputsLost,
    ReaderLost,
    RouterRestarted,
)
from cluster.router.machine.shelf import end_half_added, let_go_half_made
from cluster.router.machine.state import RouterState
from cluster.router.machine.turn import Turn
from workers.errors import Cancelled, PeerDead, to_body


def chip_lost(turn: Turn, event: ChipLost) -> None:
    """Requests on it are begun anew on other chips; what was placed elsewhere goes on."""
    state = turn.state
    chip = state.chips.get(event.chip)
    is_living = chip is not None and chip.alive and chip.epoch == event.epoch
    turn.check(is_living, f"{event.chip} has no living incarnation {event.epoch}")
    state.chips[event.chip].alive = state.chips[event.chip].is_silent = False
    state.chips[event.chip].prefixes.clear()
    state.aborts.pop(event.chip, None)
    for request in list(state.requests.values()):
        if request.placement is not None and request.placement.needs(event.chip):
            fault = to_body(PeerDead(f"{event.chip} is gone: {event.reason}"))
            lost(turn, request, fault, [event.chip])
    state.is_line_woken = True  # there may be no chip left to wait for


def chip_joined(turn: Turn, event: ChipJoined) -> None:
    chip = turn.state.chips.get(event.chip)
    is_gone = chip is not None and not chip.alive and event.epoch > chip.epoch
    turn.check(is_gone, f"{event.chip} cannot join as incarnation {event.epoch}")
    joined = turn.state.chips[event.chip]
    joined.alive, joined.epoch = True, event.epoch
    turn.state.is_line_woken = True


def reader_lost(turn: Turn, event: ReaderLost) -> None:
    """What it asked for is let go, and nobody hears the end."""
    outbox = turn.state.outboxes.get(event.reader)
    if outbox is not None and outbox.reader_epoch <= event.epoch:
        del turn.state.outboxes[event.reader]
    for request in list(turn.state.requests.values()):
        if request.reader == event.reader and request.reader_epoch <= event.epoch:
            if request.is_accepted:
                leave(turn, request)
            else:
                text = f"{event.reader} is gone, which asked for {request.request_id}"
                fail(turn, request, to_body(Cancelled(text)))


def outputs_heard(turn: Turn, event: OutputsHeard) -> None:
    _taken_out(turn, event)


def outputs_lost(turn: Turn, event: OutputsLost) -> None:
    """A stream with a gap is none: it ends, and what its chips hold is let go."""
    gone = _taken_out(turn, event)
    text = f"{event.reader} did not take the outputs that it was told"
    for request_id in dict.fromkeys(said.output.request_id for said in gone):
        request = turn.state.requests.get(request_id)
        if request is not None and request.reader == event.reader:
            fail(turn, request, to_body(PeerDead(text)))


def _taken_out(turn: Turn, event: OutputsHeard | OutputsLost) -> list[Said]:
    """The reader's oldest outputs, which are the state's no more."""
    outbox = turn.state.outboxes.get(event.reader)
    if outbox is None or not 0 < event.num_outputs <= len(outbox.said):
        raise ImpossibleEvent(f"{event.reader} was not told {event.num_outputs} outputs")
    gone = outbox.said[: event.num_outputs]
    del outbox.said[: event.num_outputs]
    if not outbox.said:
        del turn.state.outboxes[event.reader]
    return gone


def drain_began(turn: Turn, _: DrainBegan) -> None:
    turn.check(not turn.state.is_draining, "it drains already")
    turn.state.is_draining = True


def restarted(turn: Turn, event: RouterRestarted) -> None:
    """Everything that was promised goes on.

    Nobody knows what the calls of the incarnation before were answered, nor which tokens were told
    to it alone. So each generation begins anew, as a sequence of its own that goes on after the
    tokens that are known here. The old sequences are aborted. Whoever submitted
    and has no answer yet was promised nothing, and asks again.
    """
    state = turn.state
    for name, epoch in event.chips.items():
        is_later = name in state.chips and epoch >= state.chips[name].epoch
        turn.check(is_later, f"{name} cannot live as incarnation {epoch}")
    others = _replace_chips(state, event.chips)
    open_aborts = [(chip, name) for chip, names in state.aborts.items() for name in names]
    for request in list(state.requests.values()):
        if request.is_accepted:
            begin_anew(turn, request, others)
            turn.do(AwaitDeadline(request.request_id, request.deadline_ns))
        else:
            turn.do(Forget(request.request_id))
            del state.requests[request.request_id]
    state.line = list(state.requests)
    state.is_line_woken = True
    for chip, sequence_id in open_aborts:
        turn.do(Abort(chip, sequence_id))
    for reader, outbox in state.outboxes.items():
        turn.do(Say(reader, tuple(outbox.said)))
    let_go_half_made(turn)
    end_half_added(turn)
    for store_id in state.dropped_stores:
        turn.do(DropStore(store_id))
    for store in state.stores.values():
        for first_id, num_passages in store.unfinished:
            turn.do(DropPassages(store.store_id, first_id, num_passages))


def _replace_chips(state: RouterState, living: Mapping[str, int]) -> list[str]:
    """Those of which another incarnation, or none, lives now: they have forgotten everything."""
    others = []
    for name, chip in state.chips.items():
        epoch, chip.is_silent = living.get(name), False  # it is asked anew
        if epoch == chip.epoch:
            # A router that was cut off took it for lost: it lives, and the router is what is new.
            chip.alive = True
            continue
        if epoch is None and not chip.alive:
            continue
        others.append(name)
        chip.alive = epoch is not None
        chip.epoch = chip.epoch if epoch is None else epoch
        chip.prefixes.clear()
        state.aborts.pop(name, None)
    return others

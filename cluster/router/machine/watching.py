"""Chips that say nothing: whoever is there goes on elsewhere, where there is such a place.

Nobody knows whether a silent chip is dead, stopped or cut off, and nobody needs to: it is given
nothing, and what it had is told to it to be let go, until it hears. When it speaks again it is one
of the others, as the incarnation that it is: what it says of sequences that went elsewhere is
nobody's.
"""

from cluster.router.machine.anew import lost
from cluster.router.machine.placement import missing_role
from cluster.router.machine.turn import Turn
from cluster.router.machine.watch_events import ChipHeard, ChipSilent
from workers.errors import PeerDead, to_body


def chip_silent(turn: Turn, event: ChipSilent) -> None:
    """What was placed there waits for it as long as no other chip does the same."""
    state = turn.state
    chip = state.chips.get(event.chip)
    is_there = chip is not None and chip.alive and not chip.is_silent
    turn.check(is_there, f"{event.chip} is no chip that was to be heard")
    state.chips[event.chip].is_silent = True
    if missing_role(chip for chip in state.chips.values() if not chip.is_silent) is not None:
        return
    fault = to_body(PeerDead(f"{event.chip} is silent: {event.reason}"))
    for request in list(state.requests.values()):
        if request.placement is not None and request.placement.needs(event.chip):
            lost(turn, request, fault, [event.chip])


def chip_heard(turn: Turn, event: ChipHeard) -> None:
    chip = turn.state.chips.get(event.chip)
    turn.check(chip is not None and chip.is_silent, f"{event.chip} is not silent")
    turn.state.chips[event.chip].is_silent = False
    turn.state.is_line_woken = True

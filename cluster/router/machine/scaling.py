"""Chips that the cluster gets, and gives up, while it serves.

    ChipAdded ─▶ ChipJoined: placed on      ChipDrainBegan ─▶ it ends what it has ─▶ ChipRemoved

                                                      └▶ ChipDrainEnded: placed on again

A chip that drains and dies is lost as any other is, and drains on when it comes back. One that was
only restarted ends its drain then.
"""

from cluster.router.machine.chips import ChipState
from cluster.router.machine.scaling_events import (
    ChipAdded,
    ChipDrainBegan,
    ChipDrainEnded,
    ChipRemoved,
)
from cluster.router.machine.turn import Turn

ROLES = ("prefill", "decode", "chip")


def chip_added(turn: Turn, event: ChipAdded) -> None:
    """Nobody lives there yet: it joins as the next incarnation of any chip does."""
    turn.check(event.chip not in turn.state.chips, f"there is a chip {event.chip!r} already")
    turn.check(event.role in ROLES, f"{event.chip} cannot be a {event.role!r}")
    turn.check(event.num_blocks > 0, f"{event.chip} has no KV blocks")
    chip = ChipState(event.chip, event.role, event.num_blocks, epoch=0, alive=False)
    chip.watermark_blocks, chip.gives_away = event.watermark_blocks, event.gives_away
    turn.state.chips[event.chip] = chip


def chip_drain_began(turn: Turn, event: ChipDrainBegan) -> None:
    chip = _chip(turn, event.chip)
    turn.check(not chip.is_draining, f"{event.chip} drains already")
    chip.is_draining = True
    turn.state.is_line_woken = True  # there may be no chip left to wait for


def chip_drain_ended(turn: Turn, event: ChipDrainEnded) -> None:
    chip = _chip(turn, event.chip)
    turn.check(chip.is_draining, f"{event.chip} does not drain")
    chip.is_draining = False
    turn.state.is_line_woken = True  # it has room


def chip_removed(turn: Turn, event: ChipRemoved) -> None:
    chip, state = _chip(turn, event.chip), turn.state
    turn.check(chip.is_draining, f"{event.chip} does not drain")
    turn.check(state.is_done(event.chip), f"{event.chip} has not ended what it has")
    del state.chips[event.chip]


def _chip(turn: Turn, name: str) -> ChipState:
    turn.check(name in turn.state.chips, f"there is no chip {name!r}")
    return turn.state.chips[name]

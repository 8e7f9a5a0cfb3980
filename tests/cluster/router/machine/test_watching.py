"""Chips that are silent, worked by hand."""

import pytest

from cluster.router.machine import actions as act
from cluster.router.machine import events as of
from cluster.router.machine.watch_events import ChipHeard, ChipSilent
from tests.cluster.router.machine.requests import APART, machine
from tests.cluster.router.machine.told import (
    kinds,
    placed,
    prepared,
    restarted,
    running,
    said_by,
    sampled,
    submitted,
    token,
)


def silent(chip: str) -> ChipSilent:
    return ChipSilent(0, chip, "no word for 1.5 s")


def test_what_it_had_goes_on_elsewhere_and_is_told_to_it_to_be_let_go_until_it_hears() -> None:
    one = machine(APART)
    running(one, "r0", "r1")
    actions = one.apply(silent("d0"))
    assert kinds(actions) == ["Abandon", "Abort", "Reserve"] and not said_by(actions)
    assert actions[1] == act.Abort("d0", "r0") and one.state.aborts == {"d0": ["r0"]}
    assert actions[2].chip == "d1" and one.state.chips["d0"].is_idle
    assert one.apply(sampled("d0", token("r0", "decode", 1, 66))) == (), "it lives, unheard"
    with pytest.raises(of.ImpossibleEvent, match="no chip that was to be heard"):
        one.apply(silent("d0"))
    one.apply(of.RoomReserved(0, "r0~1", 0))
    placed(one, "r2")
    assert one.state.requests["r2"].placement.decode_chip == "d1"


def test_heard_again_it_is_given_work_as_the_incarnation_that_it_is() -> None:
    one = machine(APART)
    one.apply(silent("d0"))
    one.apply(ChipHeard(0, "d0"))
    placed(one, "r0")
    assert one.state.requests["r0"].placement.decode_chip == "d0"
    assert one.state.chips["d0"].epoch == 1
    with pytest.raises(of.ImpossibleEvent, match="d0 is not silent"):
        one.apply(ChipHeard(0, "d0"))


def test_the_last_of_a_role_is_waited_for_and_so_are_those_in_line() -> None:
    one = machine((("p0", "prefill"), ("d0", "decode")))
    running(one, "r0")
    assert one.apply(silent("d0")) == ()
    one.apply(submitted("r1"))
    assert kinds(one.apply(prepared("r1"))) == ["Accept", "AwaitRoom"]
    actions = one.apply(ChipHeard(0, "d0"))
    assert kinds(actions) == ["Reserve"] and "r0" in one.state.requests


@pytest.mark.parametrize("ends", ["lost", "restarted"])
def test_a_silent_chip_that_dies_or_that_another_router_meets_is_silent_no_more(ends: str) -> None:
    one = machine(APART)
    one.apply(silent("d0"))
    if ends == "lost":
        one.apply(of.ChipLost(0, "d0", 1, "crashed"))
        one.apply(of.ChipJoined(0, "d0", 2))
    else:
        one.apply(restarted(one))
    assert not one.state.chips["d0"].is_silent and one.state.chips["d0"].alive

"""Chips that come and go while requests run, worked by hand."""

from typing import Any

import pytest

from cluster.router.machine import actions as act
from cluster.router.machine import events as of
from cluster.router.machine.scaling_events import (
    ChipAdded,
    ChipDrainBegan,
    ChipDrainEnded,
    ChipRemoved,
    ScalingEvent,
)
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

ADDED = ChipAdded(0, "d2", "decode", 9, None)


def placement(one: Any, name: str) -> Any:
    return one.state.requests[name].placement


def ended(one: Any, name: str) -> None:
    chip = placement(one, name).decode_chip
    one.apply(sampled(chip, token(name, "decode", 1, reason="stop")))


def test_a_chip_more_is_given_work_once_its_node_has_joined() -> None:
    one = machine(APART)
    running(one, "r0", "r1")
    assert one.apply(ADDED) == ()
    placed(one, "r2")
    assert placement(one, "r2").decode_chip == "d0", "nobody lives there yet"
    one.apply(of.ChipJoined(0, "d2", 5))
    assert one.state.chips["d2"].epoch == 5
    placed(one, "r3")
    assert placement(one, "r3").decode_chip == "d2"


def test_whoever_waits_for_room_is_placed_on_a_chip_that_comes() -> None:
    one = machine((("p0", "prefill"), ("d0", "decode")))
    running(one, "r0", "r1", "r2")
    one.apply(submitted("r3"))
    assert kinds(one.apply(prepared("r3"))) == ["Accept", "AwaitRoom"]
    one.apply(ADDED)
    (reserve,) = one.apply(of.ChipJoined(0, "d2", 1))
    assert isinstance(reserve, act.Reserve) and reserve.chip == "d2"


def test_a_chip_that_drains_ends_what_it_has_and_is_given_nothing_new() -> None:
    one = machine(APART)
    running(one, "r0", "r1")
    placed(one, "r2")
    assert [placement(one, name).decode_chip for name in ("r0", "r1", "r2")] == ["d0", "d1", "d0"]
    assert one.apply(ChipDrainBegan(0, "d0")) == ()
    running(one, "r3", "r4")
    assert {placement(one, name).decode_chip for name in ("r3", "r4")} == {"d1"}
    one.apply(of.RoomReserved(0, "r2", 0))
    one.apply(sampled(placement(one, "r2").prefill_chip, token("r2", "prefill", 0)))
    assert placement(one, "r2").decode_chip == "d0", "it had its place before"
    for name in ("r0", "r2"):
        with pytest.raises(of.ImpossibleEvent, match="d0 has not ended what it has"):
            one.apply(ChipRemoved(0, "d0"))
        ended(one, name)
    one.apply(ChipRemoved(0, "d0"))
    assert list(one.state.chips) == ["p0", "p1", "d1"]


def test_a_refused_reserve_does_not_go_back_to_a_chip_that_drains() -> None:
    one = machine(APART)
    placed(one, "r0")
    one.apply(ChipDrainBegan(0, "d0"))
    assert kinds(one.apply(of.RoomRefused(0, "r0"))) == ["AwaitRoom"]
    (reserve,) = one.apply(of.LineWaited(0))
    assert isinstance(reserve, act.Reserve) and reserve.chip == "d1"
    one.apply(ChipRemoved(0, "d0"))


def test_a_chip_whose_drain_ended_is_placed_on_again() -> None:
    one = machine(APART)
    one.apply(ChipDrainBegan(0, "d0"))
    one.apply(ChipDrainEnded(0, "d0"))
    one.apply(ChipDrainBegan(0, "d1"))
    placed(one, "r0")
    assert placement(one, "r0").decode_chip == "d0"
    with pytest.raises(of.ImpossibleEvent, match="d0 does not drain"):
        one.apply(ChipDrainEnded(0, "d0"))


def test_a_chip_does_not_leave_before_it_heard_what_it_should_let_go() -> None:
    one = machine(APART)
    running(one, "r0")
    one.apply(ChipDrainBegan(0, "d0"))
    one.apply(of.RequestCancelled(0, "r0"))
    with pytest.raises(of.ImpossibleEvent, match="d0 has not ended what it has"):
        one.apply(ChipRemoved(0, "d0"))
    one.apply(of.AbortSettled(0, "d0", "r0"))
    one.apply(ChipRemoved(0, "d0"))


def test_what_a_prefill_chip_has_prefilled_goes_on_without_it() -> None:
    """Its request names it still: it is cancelled, begun anew and lost without it."""
    one = machine(APART)
    running(one, "r0", "r1")
    gone = placement(one, "r0").prefill_chip
    one.apply(ChipDrainBegan(0, gone))
    one.apply(ChipRemoved(0, gone))
    ended(one, "r0")
    assert placement(one, "r1").prefill_chip == gone, "or nothing is looked at below"
    actions = one.apply(restarted(one))
    assert [a for a in actions if isinstance(a, act.Abort)] == [act.Abort("d1", "r1")]
    assert placement(one, "r1").prefill_chip != gone


def test_a_cancelled_request_is_not_told_to_a_prefill_chip_that_left() -> None:
    one = machine(APART)
    running(one, "r0")
    gone = placement(one, "r0").prefill_chip
    one.apply(ChipDrainBegan(0, gone))
    one.apply(ChipRemoved(0, gone))
    assert kinds(one.apply(of.RequestCancelled(0, "r0"))) == ["Say", "Forget", "Abort"]


def test_where_every_chip_of_a_role_drains_whoever_is_in_line_hears_so() -> None:
    one = machine((("p0", "prefill"), ("d0", "decode")))
    running(one, "r0", "r1", "r2")
    one.apply(submitted("r3"))
    one.apply(prepared("r3"))
    actions = one.apply(ChipDrainBegan(0, "d0"))
    assert said_by(actions) == [("r3", "no decode chip is left: nothing can be placed")]
    assert list(one.state.requests) == ["r0", "r1", "r2"]


def test_a_chip_that_drains_still_does_after_a_restart_and_a_loss() -> None:
    one = machine(APART)
    running(one, "r0")
    one.apply(ChipDrainBegan(0, "d0"))
    one.apply(restarted(one))
    assert placement(one, "r0").decode_chip == "d1", "begun anew, so placed anew"
    one.apply(of.AbortSettled(0, "d0", "r0"))
    one.apply(of.ChipLost(0, "d0", 1, "crashed"))
    one.apply(of.ChipJoined(0, "d0", 2))
    assert one.state.chips["d0"].is_draining
    one.apply(ChipRemoved(0, "d0"))


def test_a_name_may_be_given_again() -> None:
    one = machine(APART)
    one.apply(ADDED)
    one.apply(ChipDrainBegan(0, "d2"))
    one.apply(ChipRemoved(0, "d2"))
    one.apply(ADDED)
    assert not one.state.chips["d2"].is_draining


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (ChipAdded(0, "d0", "decode", 9, None), "there is a chip 'd0' already"),
        (ChipAdded(0, "d2", "experts", 9, None), "d2 cannot be a 'experts'"),
        (ChipAdded(0, "d2", "decode", 0, None), "d2 has no KV blocks"),
        (ChipDrainBegan(0, "d7"), "there is no chip 'd7'"),
        (ChipRemoved(0, "d7"), "there is no chip 'd7'"),
        (ChipRemoved(0, "d0"), "d0 does not drain"),
    ],
)
def test_what_cannot_have_happened(event: ScalingEvent, why: str) -> None:
    one = machine(APART)
    with pytest.raises(of.ImpossibleEvent, match=why):
        one.apply(event)
    one.apply(ChipDrainBegan(0, "d1"))
    with pytest.raises(of.ImpossibleEvent, match="d1 drains already"):
        one.apply(ChipDrainBegan(0, "d1"))

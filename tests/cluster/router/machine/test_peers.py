"""Chips, readers and routers that go and come back, worked by hand."""

from copy import deepcopy

import pytest

from cluster.router.machine import actions as act
from cluster.router.machine import events as of
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


@pytest.mark.parametrize("prefilled", [False, True])
def test_a_lost_chip_ends_its_requests_and_no_others(prefilled: bool) -> None:
    """Where each is begun once only."""
    one = machine(APART)
    one.state.attempts_max = 1
    if prefilled:
        running(one, "r0", "r1")
    else:
        placed(one, "r0", "r1")
    assert [r.placement.decode_chip for r in one.state.requests.values()] == ["d0", "d1"]
    actions = one.apply(of.ChipLost(0, "d0", 1, "crashed"))
    assert said_by(actions) == [("r0", "d0 is gone: crashed")]
    assert list(one.state.requests) == ["r1"] and one.state.chips["d0"].is_idle
    assert act.Abort("d0", "r0") not in actions, "nobody is there to hear it"
    assert (act.Abort("p0", "r0") in actions) is (not prefilled)


def test_without_chips_of_a_role_everybody_in_line_hears_so() -> None:
    one = machine((("p0", "prefill"), ("d0", "decode")))
    running(one, "r0", "r1", "r2")
    for name in ("r3", "r4"):
        one.apply(submitted(name))
        one.apply(prepared(name))
    actions = one.apply(of.ChipLost(0, "d0", 1, "crashed"))
    told = said_by(actions)
    assert told[:3] == [(f"r{i}", "d0 is gone: crashed") for i in range(3)]
    assert told[3:] == [(f"r{i}", "no decode chip is left: nothing can be placed") for i in (3, 4)]
    assert not one.state.line and not one.state.requests
    assert kinds(one.apply(submitted("r5"))) == ["AwaitDeadline", "Prepare"]
    assert kinds(one.apply(prepared("r5"))) == ["Accept", "Say", "Forget"]
    one.apply(of.ChipJoined(0, "d0", 2))
    placed(one, "r6")


def test_a_chip_comes_back_as_a_later_incarnation_only_and_empty() -> None:
    one = machine(APART)
    running(one, "r0")
    assert one.state.chips["p0"].prefixes
    with pytest.raises(of.ImpossibleEvent, match="cannot join as incarnation 2"):
        one.apply(of.ChipJoined(0, "p0", 2))
    one.apply(of.ChipLost(0, "p0", 1, "crashed"))
    with pytest.raises(of.ImpossibleEvent, match="no living incarnation 1"):
        one.apply(of.ChipLost(0, "p0", 1, "crashed"))
    with pytest.raises(of.ImpossibleEvent, match="cannot join as incarnation 1"):
        one.apply(of.ChipJoined(0, "p0", 1))
    one.apply(of.ChipJoined(0, "p0", 2))
    chip = one.state.chips["p0"]
    assert chip.alive and chip.epoch == 2 and chip.is_idle and not chip.prefixes


def test_a_lost_reader_s_requests_are_let_go_and_nothing_is_kept_for_it() -> None:
    one = machine(APART)
    running(one, "r0")
    one.apply(submitted("r1"))
    actions = one.apply(of.ReaderLost(0, "gateway", 1))
    assert kinds(actions) == ["Forget", "Abort", "Refuse", "Forget"]
    assert one.state.is_idle and one.state.aborts == {"d0": ["r0"]}


def test_after_a_restart_every_stream_begins_anew_under_an_id_of_its_own() -> None:
    """Delivered tokens are not told again, what was unheard is, and the unaccepted are gone."""
    one = machine(APART)
    running(one, "r0")
    one.apply(sampled("d0", token("r0", "decode", 1, 66)))
    one.apply(of.OutputsHeard(0, "gateway", 1))
    placed(one, "r1")
    one.apply(submitted("r2"))
    before = deepcopy(one.state.requests["r0"].stream.tokens)
    actions = one.apply(restarted(one, 500))
    assert [a for a in actions if isinstance(a, act.Abort)] == [
        act.Abort("d0", "r0"), act.Abort("p0", "r1"), act.Abort("d1", "r1"),
    ]  # fmt: skip
    (said,) = [a for a in actions if isinstance(a, act.Say)]
    assert [s.output.position for s in said.said] == [1], "position 0 was heard"
    assert [a.request_id for a in actions if isinstance(a, act.AwaitDeadline)] == ["r0", "r1"]
    assert list(one.state.requests) == ["r0", "r1"]
    (reserve,) = [a for a in actions if isinstance(a, act.Reserve)]
    assert (reserve.sequence.request_id, reserve.sequence.sequence_id) == ("r0", "r0~1")
    (prefill, after) = one.apply(of.RoomReserved(510, "r0~1", 0))
    assert after.sequence.sequence_id == "r1~1", "the next one in line"
    assert one.apply(sampled("d0", token("r0", "decode", 2, 67))) == (), "of the aborted sequence"
    assert one.apply(sampled(prefill.chip, token("r0~1", "prefill", 0))) == ()
    chip = prefill.decode_chip
    assert one.apply(sampled(chip, token("r0~1", "decode", 1, 66))) == ()
    assert one.state.requests["r0"].stream.tokens == before == [65, 66]
    (said,) = one.apply(sampled(chip, token("r0~1", "decode", 2, 67)))
    assert said.said[0].output.position == 2


def test_what_was_on_chips_that_are_gone_after_a_restart_begins_anew_elsewhere() -> None:
    one = machine(APART)
    running(one, "r0", "r1", "r2")
    assert [r.placement.decode_chip for r in one.state.requests.values()] == ["d0", "d1", "d0"]
    one.apply(of.RequestCancelled(0, "r2"))
    assert one.state.aborts == {"d0": ["r2"]}
    actions = one.apply(restarted(one, d0=0, d1=2, p1=0))
    aborts = [a for a in actions if isinstance(a, act.Abort)]
    assert aborts == [] == list(one.state.aborts), "nobody is left that holds anything"
    chips = one.state.chips
    assert [name for name, chip in chips.items() if not chip.alive] == ["p1", "d0"]
    assert chips["d1"].epoch == 2 and not chips["d1"].prefixes and chips["p0"].prefixes
    prefill, reserve = one.apply(of.RoomReserved(0, "r0~1", 0))
    assert (prefill.chip, prefill.decode_chip, reserve.chip) == ("p0", "d1", "d1")
    with pytest.raises(of.ImpossibleEvent, match="d1 cannot live as incarnation 1"):
        one.apply(restarted(one, d1=1))
    with pytest.raises(of.ImpossibleEvent, match="d7 cannot live as incarnation 1"):
        one.apply(restarted(one, d7=1))


def test_a_chip_that_a_router_took_for_lost_lives_for_the_next_one() -> None:
    """It was the router that was cut off: the chip is the incarnation that it was."""
    one = machine(APART)
    for name in ("p0", "p1"):
        one.apply(of.ChipLost(0, name, 1, "its connection broke"))
    assert not any(one.state.chips[name].alive for name in ("p0", "p1"))
    one.apply(restarted(one, p1=0))
    assert [name for name, chip in one.state.chips.items() if not chip.alive] == ["p1"]
    placed(one, "r1")
    assert one.state.requests["r1"].placement.prefill_chip == "p0"


def test_a_stream_that_does_not_repeat_itself_ends_with_an_error() -> None:
    one = machine(APART)
    running(one, "r0")
    one.apply(restarted(one))
    one.apply(of.RoomReserved(0, "r0~1", 0))
    chip = one.state.requests["r0"].placement.prefill_chip
    said, *others = one.apply(sampled(chip, token("r0~1", "prefill", 0, 99)))
    assert "did not repeat itself" in said.said[0].output.error["message"]
    assert kinds(others) == ["Forget", "Abort", "Abort"] and not one.state.requests


def test_a_sequence_id_never_names_two_requests() -> None:
    one = machine(APART)
    placed(one, "r", "r~1")
    one.apply(restarted(one))
    one.apply(of.RoomReserved(0, "r~2", 0))
    assert one.state.sequences == {"r~2": "r", "r~1~1": "r~1"}


def test_outputs_that_are_given_up_end_their_stream_and_free_its_chips() -> None:
    """r0's and r2's second tokens are on their way, and the first of them is given up: r0 cannot go
    on whole and ends, all others go on. Then the other is, and r2 ends too.
    """
    one = machine(APART)
    running(one, "r0", "r1", "r2")
    one.apply(of.OutputsHeard(0, "gateway", 3))
    one.apply(sampled("d0", token("r0", "decode", 1), token("r2", "decode", 1)))
    actions = one.apply(of.OutputsLost(0, "gateway", 1))
    told = "gateway did not take the outputs that it was told"
    assert said_by(actions) == [("r0", told)]
    assert act.Abort("d0", "r0") in actions and list(one.state.requests) == ["r1", "r2"]
    assert len(one.state.outboxes["gateway"].said) == 2, "r2's token, and the end of r0"
    one.apply(of.OutputsLost(0, "gateway", 2))
    assert list(one.state.requests) == ["r1"]

"""Requests that chips have failed go on: which, where, how often, and after which token."""

from typing import Any

import pytest

from cluster.router.machine import actions as act
from cluster.router.machine import events as of
from tests.cluster.router.machine.requests import APART, machine
from tests.cluster.router.machine.told import (
    FAULT,
    IDS,
    kinds,
    placed,
    prepared,
    running,
    said_by,
    sampled,
    submitted,
    token,
)

BOTH = (("c0", "chip"), ("c1", "chip"))


def fault(code: str) -> dict[str, object]:
    return {**FAULT, "code": code}


def reserved_of(actions: Any) -> Any:
    (reserve,) = [action for action in actions if isinstance(action, act.Reserve)]
    return reserve


def test_a_lost_decode_chip_s_request_goes_on_at_the_other_after_what_was_sent() -> None:
    """r0 on p0 and d0, with tokens 65 and 66: r0~1 wants the third, on d1."""
    one = machine(APART)
    running(one, "r0")
    one.apply(sampled("d0", token("r0", "decode", 1, 66)))
    actions = one.apply(of.ChipLost(7, "d0", 1, "crashed"))
    assert kinds(actions) == ["Abandon", "Reserve"] and not said_by(actions)
    reserve = reserved_of(actions)
    sequence = reserve.sequence
    assert (reserve.chip, sequence.sequence_id, sequence.request_id) == ("d1", "r0~1", "r0")
    assert (sequence.prompt_ids, sequence.sent_ids) == (IDS, (65, 66))
    (prefill,) = one.apply(of.RoomReserved(9, "r0~1", 0))
    assert prefill.sequence.sent_ids == (65, 66)
    assert one.apply(sampled("d0", token("r0", "decode", 2, 99))) == (), "of the attempt before"
    (said,) = one.apply(sampled(prefill.chip, token("r0~1", "prefill", 2, 67)))
    assert [(s.output.position, s.output.token_ids) for s in said.said] == [(2, (67,))]
    (said, *_) = one.apply(sampled("d1", token("r0~1", "decode", 3, 68, "length")))
    assert said.said[0].output.num_output_tokens == 4 and not one.state.requests
    assert all(chip.is_idle for chip in one.state.chips.values()) and not one.state.aborts


def test_a_lost_prefill_chip_s_request_goes_on_and_the_room_it_had_is_given_back() -> None:
    one = machine(APART)
    placed(one, "r0")
    one.apply(of.RoomReserved(0, "r0", 0))
    chips = one.state.requests["r0"].placement.chips
    actions = one.apply(of.ChipLost(0, chips[0], 1, "crashed"))
    assert kinds(actions) == ["Abandon", "Abort", "Reserve"]
    assert actions[1] == act.Abort(chips[1], "r0")
    assert one.state.requests["r0"].placement.prefill_chip != chips[0]


def test_a_prefill_chip_takes_nothing_along_once_the_decode_chip_has_told_a_token() -> None:
    """Until then its KV may be on its way still, and the first token is its own to tell."""
    one = machine(APART)
    running(one, "r0", "r1")
    placed(one, "r2")
    one.apply(of.RoomReserved(0, "r2", 0))
    placements = {name: r.placement for name, r in one.state.requests.items()}
    source = placements["r0"].prefill_chip
    assert placements["r1"].prefill_chip == placements["r2"].prefill_chip == source
    one.apply(sampled("d0", token("r0", "decode", 1, 66)))
    one.apply(sampled(placements["r2"].decode_chip, token("r2", "decode", 1, 66)))
    actions = one.apply(of.ChipLost(0, source, 1, "crashed"))
    assert [a.request_id for a in actions if isinstance(a, act.Abandon)] == ["r1", "r2"]
    assert one.state.requests["r0"].placement.sequence_id == "r0"


@pytest.mark.parametrize("code", ["peer_dead", "corrupt_message", "not_found"])
def test_what_chips_do_to_a_sequence_is_tried_again_on_others(code: str) -> None:
    one = machine(BOTH)
    for name in ("r0", "r1"):
        one.apply(submitted(name))
        one.apply(prepared(name))
    assert [r.placement.decode_chip for r in one.state.requests.values()] == ["c0", "c1"]
    actions = one.apply(of.SequenceFailed(0, "c0", "r0", fault(code)))
    assert kinds(actions) == ["Abandon", "Abort", "Generate"]
    assert (actions[2].chip, actions[2].sequence.sequence_id) == ("c1", "r0~1")
    one.apply(of.SequenceFailed(0, "c1", "r0~1", fault(code)))
    assert one.state.requests["r0"].placement.decode_chip in ("c0", "c1"), "no other is left"


@pytest.mark.parametrize("code", ["invalid_request_error", "not_finite", "internal_error",
                                  "deadline_exceeded"])  # fmt: skip
def test_what_is_the_request_s_own_fault_ends_it_at_once(code: str) -> None:
    """Also a share that came too late: whether it is waited for is the scenario's to say."""
    one = machine(APART)
    running(one, "r0")
    actions = one.apply(of.SequenceFailed(0, "d0", "r0", fault(code)))
    assert said_by(actions) == [("r0", "gone")] and not one.state.requests


def test_a_call_that_nobody_answered_is_made_elsewhere_but_not_past_the_deadline() -> None:
    one = machine(APART)
    placed(one, "r0")
    late = fault("deadline_exceeded")
    reserve = reserved_of(one.apply(of.RequestFailed(400, "r0", late)))
    assert (reserve.chip, one.state.requests["r0"].avoided) == ("d1", ["d0"])
    one.apply(of.RoomReserved(500, "r0~1", 0))
    asked = one.state.requests["r0"].placement.prefill_chip
    one.apply(of.RequestFailed(900, "r0", late))
    assert one.state.requests["r0"].avoided == ["d0", asked]
    actions = one.apply(of.RequestFailed(1_000, "r0", late))
    assert said_by(actions) == [("r0", "gone")], "1,000 is its deadline"


def test_attempts_are_counted_and_the_last_one_s_fault_is_told() -> None:
    one = machine(APART)
    assert one.state.attempts_max == 3
    running(one, "r0")
    for sequence_id in ("r0", "r0~1"):
        assert not said_by(one.apply(of.SequenceFailed(0, "d0", sequence_id, FAULT)))
    actions = one.apply(of.SequenceFailed(0, "d0", "r0~2", FAULT))
    assert said_by(actions) == [("r0", "gone (attempt 3 of 3)")] and not one.state.requests


def test_that_a_chip_knows_nothing_of_a_sequence_is_told_as_a_loss() -> None:
    """404 is for what a user asked for and nobody has."""
    one = machine(APART)
    running(one, "r0")
    for sequence_id in ("r0", "r0~1"):
        one.apply(of.SequenceFailed(0, "d0", sequence_id, fault("not_found")))
    actions = one.apply(of.SequenceFailed(0, "d0", "r0~2", fault("not_found")))
    (said,) = [said for action in actions if isinstance(action, act.Say) for said in action.said]
    assert said.output.error is not None
    assert said.output.error["code"] == "peer_dead"


def test_restarts_of_the_router_are_no_attempts() -> None:
    one = machine(APART)
    running(one, "r0")
    epochs = {name: 1 for name, _ in APART}
    for number in range(1, 6):
        one.apply(of.RouterRestarted(0, epochs))
        one.apply(of.RoomReserved(0, f"r0~{number}", 0))
    assert one.state.requests["r0"].losses == 0
    assert not said_by(one.apply(of.SequenceFailed(0, "d0", "r0~5", FAULT)))
    assert one.state.requests["r0"].losses == 1


def test_those_that_had_room_go_before_those_that_wait_and_in_their_order() -> None:
    """Three fit on each decode chip. d0 is gone, and none of its three has room on d1: they wait
    before r6, which never had any.
    """
    one = machine(APART)
    running(one, *(f"r{i}" for i in range(6)))
    one.apply(submitted("r6"))
    one.apply(prepared("r6"))
    assert one.state.line == ["r6"]
    one.apply(of.ChipLost(0, "d0", 1, "crashed"))
    assert one.state.line == ["r0", "r2", "r4", "r6"]
    (*_, reserve) = one.apply(sampled("d1", token("r1", "decode", 1, 66, "length")))
    assert reserve.sequence.sequence_id == "r0~1"


def test_whoever_comes_first_tries_while_a_lost_one_queues_up() -> None:
    """r6 tries at the head of the line: it has counted itself in, and nobody passes it."""
    one = machine(APART)
    running(one, *(f"r{i}" for i in range(5)))
    placed(one, "r5")
    one.apply(submitted("r6"))
    one.apply(prepared("r6"))
    one.apply(of.RoomReserved(0, "r5", 0))
    one.apply(sampled("d0", token("r0", "decode", 1, 66, "length")))
    assert one.state.requests["r6"].placement is not None and one.state.line == ["r6"]
    one.apply(of.SequenceFailed(0, "d1", "r1", FAULT))
    assert one.state.line == ["r6", "r1"]


def test_room_is_looked_for_for_the_prompt_and_all_that_was_sent() -> None:
    """30 tokens and the first answer are 2 blocks of 16; with 3 sent and one more they are 3."""
    one = machine(APART, watermark=0)
    running(one, "r0")
    assert one.state.requests["r0"].prompt.first_blocks == 2
    for position in (1, 2):
        one.apply(sampled("d0", token("r0", "decode", position, 66)))
    one.apply(of.ChipLost(0, "d0", 1, "crashed"))
    assert one.state.requests["r0"].prompt.first_blocks == 3
    assert one.state.chips["d1"].blocks_taken == 3

"""What follows from what, worked by hand."""

from copy import deepcopy

import pytest

from cluster.api.request import Retrieval
from cluster.router.machine import actions as act
from cluster.router.machine import events as of
from cluster.router.machine.chips import PREFIXES_PER_CHIP_MAX, ChipState
from cluster.router.machine.machine import TRANSITIONS
from cluster.router.machine.stages import Decoding, Prefilling, Retrieving
from tests.cluster.router.machine.requests import APART, machine, tokenizer
from tests.cluster.router.machine.told import (
    FAULT,
    HASHES,
    IDS,
    kinds,
    placed,
    prepared,
    running,
    sampled,
    submitted,
    token,
)


def test_every_event_has_its_transition() -> None:
    assert list(TRANSITIONS) == list(of.EVENTS)


def test_the_life_of_a_request_that_prefills_here_and_decodes_there() -> None:
    one = machine(APART)
    request = one.state.requests
    wanted = submitted("r", 10, retrieval=Retrieval("s", 2), max_tokens=2)
    deadline, retrieve = one.apply(wanted)
    assert deadline == act.AwaitDeadline("r", 1_000), "from its submission on"
    assert isinstance(retrieve, act.Retrieve) and request["r"].stages[0] == Retrieving()
    (prepare,) = one.apply(of.PassagesFound(15, "r", ("one", "two")))
    assert prepare == act.Prepare(retrieve.request, ("one", "two"))
    accept, reserve = one.apply(prepared("r", 20))
    assert accept == act.Accept("r", 30)
    sequence = act.Sequence("r", "r", IDS, retrieve.request.sampling, 1_000)
    assert reserve == act.Reserve("d0", sequence)
    assert request["r"].stages == [Prefilling(), Decoding()]
    source, target = one.state.chips["p0"], one.state.chips["d0"]
    assert (source.num_requests, source.queued_tokens) == (1, 30)
    assert (target.num_requests, target.blocks_taken) == (1, 2), "32 tokens of 16 a block"
    assert one.apply(of.RoomReserved(27, "r", 1)) == (act.Prefill("p0", sequence, "d0", 1),)
    (said,) = one.apply(sampled("p0", token("r", "prefill", 0)))
    assert isinstance(said, act.Say) and said.said[0].output.token_ids == (65,)
    assert request["r"].stages == [Decoding()]
    assert source.is_idle and list(source.prefixes) == list(HASHES) and target.blocks_taken == 2
    said, forget = one.apply(sampled("d0", token("r", "decode", 1, 66, "length")))
    assert isinstance(said, act.Say) and forget == act.Forget("r"), (
        "both chips let go by themselves"
    )
    output = said.said[0].output
    times_ns = {"retrieval": 5, "preparation": 5, "queue": 7, "prefill": 3, "attention": 4}
    assert output.times == times_ns
    assert (output.passages, output.num_cached_tokens) == (("one", "two"), 16)
    assert not one.state.is_idle, "the reader has not heard the end"
    assert one.apply(of.OutputsHeard(0, "gateway", 2)) == ()
    assert one.state.is_idle


def test_a_chip_that_does_both_is_asked_at_once_and_reserves_nothing() -> None:
    one = machine((("c0", "chip"),))
    one.apply(submitted("r"))
    actions = one.apply(prepared("r"))
    assert kinds(actions) == ["Accept", "Generate"]
    said, *others = one.apply(sampled("c0", token("r", "both", 0, 65, "length")))
    assert isinstance(said, act.Say) and kinds(others) == ["Forget"]
    assert one.state.chips["c0"].is_idle


def test_a_stop_string_aborts_the_chip_that_would_go_on() -> None:
    one = machine((("c0", "chip"),))
    one.apply(submitted("r", stop=("A",)))
    one.apply(prepared("r"))
    (letter,) = tokenizer().encode("A")
    said, forget, abort = one.apply(sampled("c0", token("r", "both", 0, letter)))
    output = said.said[0].output
    assert (output.text, output.finish_reason, output.token_ids) == ("", "stop", (letter,))
    assert (forget, abort) == (act.Forget("r"), act.Abort("c0", "r"))
    assert one.state.chips["c0"].is_idle and one.state.aborts == {"c0": ["r"]}
    assert one.apply(of.AbortSettled(0, "c0", "r")) == () and one.state.aborts == {}


def test_three_find_room_the_fourth_waits_and_is_let_in_by_an_end() -> None:
    """9 blocks each, 3 for each request: three on d0 and three on d1, in turn."""
    one = machine(APART)
    running(one, *(f"r{i}" for i in range(6)))
    one.apply(submitted("r6"))
    assert kinds(one.apply(prepared("r6", 50))) == ["Accept", "AwaitRoom"]
    one.apply(submitted("r7"))
    assert kinds(one.apply(prepared("r7", 50))) == ["Accept"], "not its turn"
    assert one.state.line == ["r6", "r7"]
    *_, reserve = one.apply(of.RequestCancelled(60, "r3"))
    assert reserve == act.Reserve("d1", reserve.sequence) and reserve.sequence.request_id == "r6"
    assert one.state.line == ["r6", "r7"], "it is in line until it has room"
    prefill, wait = one.apply(of.RoomReserved(70, "r6", 0))
    assert isinstance(prefill, act.Prefill) and wait == act.AwaitRoom()
    assert one.state.line == ["r7"]
    assert one.state.requests["r6"].stream.times_ns == {"preparation": 50, "queue": 20}


def test_a_refusal_counts_back_and_waits_unless_something_was_let_go_meanwhile() -> None:
    one = machine(APART)
    placed(one, "r0")
    before = {name: chip.is_idle for name, chip in one.state.chips.items()}
    assert before == {"p0": False, "p1": True, "d0": False, "d1": True}
    assert one.apply(of.RoomRefused(0, "r0")) == (act.AwaitRoom(),)
    assert all(chip.is_idle for chip in one.state.chips.values()) and not one.state.sequences
    assert one.state.line == ["r0"]
    assert kinds(one.apply(of.LineWaited(0))) == ["Reserve"]
    running_before = len(one.state.sequences)
    one.apply(submitted("r1"))
    one.apply(of.RequestFailed(0, "r1", FAULT))  # somebody leaves while r0 tries
    assert len(one.state.sequences) == running_before
    assert kinds(one.apply(of.RoomRefused(0, "r0"))) == ["Reserve"], "it tries again at once"


def test_a_reserve_that_fails_leaves_the_state_right_and_tells_the_chip() -> None:
    one = machine(APART)
    one.state.attempts_max = 1
    placed(one, "r")
    said, forget, *aborts = one.apply(of.RequestFailed(0, "r", FAULT))
    assert said.said[0].output.error == FAULT and forget == act.Forget("r")
    assert aborts == [act.Abort("p0", "r"), act.Abort("d0", "r")], "it may have reserved unheard"
    assert all(chip.is_idle for chip in one.state.chips.values())


def test_cancelled_before_it_was_accepted_is_an_answer_and_after_it_an_output() -> None:
    one = machine(APART)
    one.apply(submitted("r0"))
    refuse, forget = one.apply(of.RequestCancelled(0, "r0"))
    assert refuse.fault["code"] == "cancelled" and forget == act.Forget("r0")
    running(one, "r1")
    said, *_ = one.apply(of.RequestCancelled(0, "r1"))
    assert said.said[0].output.finish_reason == "cancelled"


def test_the_picture_of_a_prefix_cache_is_bounded_and_forgets_the_oldest() -> None:
    chip = ChipState("p0", "prefill", 9)
    names = [f"{i:032x}" for i in range(PREFIXES_PER_CHIP_MAX)]
    chip.holds(names)
    chip.holds(names[:1])  # used again
    chip.holds(["f" * 32])
    assert len(chip.prefixes) == PREFIXES_PER_CHIP_MAX * 7 // 8 + 1
    assert chip.prefix_hits(names[:1]) == 1 and chip.prefix_hits(names[1:2]) == 0
    assert chip.prefix_hits([names[0], names[1]]) == 1


@pytest.mark.parametrize(
    "event",
    [
        submitted("there"),
        prepared("there"),
        prepared("nobody"),
        of.PassagesFound(0, "new", ()),
        prepared("new", ids=()),
        of.RequestFailed(0, "nobody", FAULT),
        of.RequestCancelled(0, "nobody"),
        of.DeadlinePassed(999, "there"),
        of.DeadlinePassed(999, "new"),
        of.RoomReserved(0, "there", 0),
        of.RoomRefused(0, "nobody"),
        of.LineWaited(0),
        sampled("p9", token("there", "prefill", 0)),
        sampled("d1", token("there", "decode", 1)),
        sampled("d0", token("there", "decode", -1)),
        sampled("d0", token("there", "decode", 1), token("there", "decode", 2)),
        of.SequenceFailed(0, "p9", "there", FAULT),
        of.AbortSettled(0, "d0", "there"),
        of.ChipLost(0, "p9", 1, ""),
        of.ChipLost(0, "d0", 2, ""),
        of.ChipJoined(0, "d0", 2),
        of.OutputsHeard(0, "gateway", 2),
        of.OutputsLost(0, "nobody", 1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_cannot_have_happened_changes_nothing(event: of.Event) -> None:
    one = machine(APART)
    running(one, "there")
    one.apply(submitted("new"))
    before = deepcopy(one.state)
    with pytest.raises(of.ImpossibleEvent):
        one.apply(event)
    assert one.state == before


def test_a_router_that_drains_takes_nothing_new_and_finishes_what_it_has() -> None:
    one = machine(APART)
    running(one, "r0")
    assert one.apply(of.DrainBegan(0)) == ()
    for event in (submitted("r1"), of.DrainBegan(0)):
        with pytest.raises(of.ImpossibleEvent):
            one.apply(event)
    said, _ = one.apply(sampled("d0", token("r0", "decode", 1, 66, "length")))
    assert said.said[0].output.finish_reason == "length"

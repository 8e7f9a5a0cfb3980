"""The line for KV room: first come, first served, also where somebody behind the head would fit."""

from typing import Any

import pytest

from cluster.router.machine import events as of
from tests.cluster.router.machine.requests import machine
from tests.cluster.router.machine.told import kinds, prepared, sampled, submitted, token

APART = (("p0", "prefill"), ("d0", "decode"))
BOTH = (("c0", "chip"),)
TRY = {APART: "Reserve", BOTH: "Generate"}
# Of 9 blocks of 16: 70 + 10 tokens take 5, 20 + 10 take 2. While a large one runs, 4 are free: a
# second large one waits, and a small one would fit.
LARGE, SMALL = tuple(range(70)), tuple(range(20))


def asks(one: Any, name: str, ids: tuple[int, ...]) -> list[str]:
    """Which actions follow when its prompt is known, those that accept it left out."""
    one.apply(submitted(name))
    actions = kinds(one.apply(prepared(name, 0, ids)))
    return [kind for kind in actions if kind not in ("Accept", "AwaitDeadline")]


def with_a_line(chips: tuple[tuple[str, str], ...]) -> Any:
    """ "first" runs, "large" is the head of the line, "small" would fit behind it."""
    one = machine(chips)
    assert asks(one, "first", LARGE) == [TRY[chips]]
    if chips is APART:
        assert kinds(one.apply(of.RoomReserved(0, "first", 0))) == ["Prefill"]
    assert asks(one, "large", LARGE) == ["AwaitRoom"]
    assert asks(one, "small", SMALL) == [], "the line has a head already: nobody else may try"
    assert one.state.line == ["large", "small"]
    return one


def tries(one: Any, event: of.Event) -> list[str]:
    """Who tries to be placed after an event."""
    actions = one.apply(event)
    return [a.sequence.request_id for a in actions if type(a).__name__ in TRY.values()]


@pytest.mark.parametrize("chips", [APART, BOTH], ids=["apart", "both"])
def test_nobody_passes_the_head_of_the_line(chips: tuple[tuple[str, str], ...]) -> None:
    """Neither when it comes, nor when the line is looked at again, nor a third one."""
    one = with_a_line(chips)
    assert tries(one, of.LineWaited(0)) == []
    assert asks(one, "smaller", SMALL[:5]) == []
    assert one.state.line == ["large", "small", "smaller"]


@pytest.mark.parametrize("chips", [APART, BOTH], ids=["apart", "both"])
def test_the_line_goes_on_in_order(chips: tuple[tuple[str, str], ...]) -> None:
    """With the first one gone 9 blocks are free: 5 for the large one, then 2 for the small one.
    Apart, a Reserve is answered before the next one tries.
    """
    one = with_a_line(chips)
    told = tries(one, of.RequestCancelled(0, "first"))
    if chips is APART:
        assert told == ["large"] and one.state.line == ["large", "small"]
        told += tries(one, of.RoomReserved(0, "large", 0))
    assert told == ["large", "small"]


def test_a_head_that_is_refused_keeps_its_place() -> None:
    """The chip had less room than the router thought: the head goes on waiting, before the small
    one.
    """
    one = with_a_line(APART)
    assert tries(one, of.RequestCancelled(0, "first")) == ["large"]
    assert kinds(one.apply(of.RoomRefused(0, "large"))) == ["AwaitRoom"]
    assert one.state.line == ["large", "small"]
    assert tries(one, of.LineWaited(0)) == ["large"]


def test_who_leaves_the_line_lets_the_next_one_try() -> None:
    one = with_a_line(APART)
    assert tries(one, of.RequestCancelled(0, "large")) == ["small"]


def test_a_first_token_makes_no_room() -> None:
    """The decode chip keeps its blocks: nobody in line is served by it."""
    one = with_a_line(APART)
    assert tries(one, sampled("p0", token("first", "prefill", 0))) == []
    assert one.state.line == ["large", "small"]


def test_a_head_that_tries_is_not_placed_again() -> None:
    """Its Reserve is on the way while somebody else lets go of room: it waits for the answer. It
    takes 3 of 9 blocks (38 + 10 tokens), so there would be room for it twice.
    """
    one = machine(APART)
    assert asks(one, "first", tuple(range(100))) == ["Reserve"]  # 110 tokens: 7 blocks
    assert asks(one, "head", tuple(range(38))) == ["AwaitRoom"]
    assert asks(one, "next", SMALL) == []
    assert tries(one, of.RequestCancelled(0, "first")) == ["head"]
    assert tries(one, of.RequestCancelled(0, "next")) == []
    assert one.state.chips["d0"].blocks_taken == 3, "counted once"

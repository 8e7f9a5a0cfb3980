"""The router's state changes by events alone, and counts back to nothing."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.router.events import (
    ChipLost,
    Event,
    FirstTokenSampled,
    PlacementRefused,
    RequestAdmitted,
    RequestEnded,
    RequestPlaced,
    RequestPrepared,
)
from cluster.router.state import ChipState, RouterState

BLOCK = 16
CHIPS = (("p0", "prefill"), ("p1", "prefill"), ("d0", "decode"), ("d1", "decode"), ("c0", "chip"))


def fresh() -> RouterState:
    return RouterState([ChipState(name, role, 100) for name, role in CHIPS], BLOCK)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events in any order that can happen: each request goes its way, all interleaved."""
    where: dict[str, str] = {}
    events: list[Event] = []
    for _ in range(draw(st.integers(0, 60))):
        name = f"r{draw(st.integers(0, 5))}"
        stage = where.get(name)
        if stage is None:
            events.append(RequestAdmitted(name))
            where[name] = "admitted"
        elif draw(st.integers(0, 4)) == 0:
            events.append(RequestEnded(name))
            del where[name]
        elif stage == "admitted":
            hashes = tuple(bytes([draw(st.integers(0, 3))] * 16) for _ in range(2))
            sizes = draw(st.integers(1, 200)), draw(st.integers(1, 100))
            events.append(RequestPrepared(name, *sizes, hashes))
            where[name] = "prepared"
        elif stage == "prepared":
            apart = f"p{draw(st.integers(0, 1))}", f"d{draw(st.integers(0, 1))}"
            chips = ("c0", "c0") if draw(st.booleans()) else apart
            events.append(RequestPlaced(name, *chips))
            where[name] = "placed"
        elif draw(st.booleans()):
            events.append(PlacementRefused(name))
            where[name] = "prepared"
        else:
            events.append(FirstTokenSampled(name))  # told twice changes nothing
        if draw(st.integers(0, 30)) == 0:
            events.append(ChipLost(draw(st.sampled_from([name for name, _ in CHIPS]))))
    events += [RequestEnded(name) for name in where]
    return events


@given(histories())
def test_counts_are_what_the_requests_say_and_nothing_is_left(events: list[Event]) -> None:
    state = fresh()
    for event in events:
        state.apply(event)
        requests = state.requests.values()
        for chip in state.chips.values():
            here = [r for r in requests if r.decode_chip == chip.name]
            before = [r for r in requests if r.prefill_chip == chip.name and r.prefilling]
            assert chip.blocks_taken == sum(r.blocks for r in here)
            assert chip.num_requests == len(here) + len(before)
            assert chip.queued_tokens == sum(r.num_prompt for r in before)
    assert state.is_idle()


@given(histories())
def test_a_journal_replayed_gives_the_same_state(events: list[Event]) -> None:
    one, other = fresh(), fresh()
    for event in events:
        one.apply(event)
    for event in events:
        other.apply(event)
    for name, chip in one.chips.items():
        assert asdict(chip) == asdict(other.chips[name])
    assert one.num_admitted == other.num_admitted


def test_blocks_cover_prompt_and_answer() -> None:
    state = fresh()
    state.apply(RequestAdmitted("r"))
    state.apply(RequestPrepared("r", 30, 3, ()))
    assert state.requests["r"].blocks == 3


def test_the_prefill_chip_s_prefix_is_known_after_the_first_token() -> None:
    state, hashes = fresh(), (b"a" * 16, b"b" * 16, b"c" * 16)
    state.apply(RequestAdmitted("r"))
    state.apply(RequestPrepared("r", 48, 1, hashes))
    state.apply(RequestPlaced("r", "p1", "d0"))
    assert state.chips["p1"].prefix_hits(hashes) == 0
    state.apply(FirstTokenSampled("r"))
    assert state.chips["p1"].prefix_hits(hashes) == 3
    assert state.chips["p1"].prefix_hits((hashes[0], b"x" * 16, hashes[2])) == 1
    assert state.chips["p0"].prefix_hits(hashes) == 0


@pytest.mark.parametrize(
    "events",
    [
        [RequestEnded("r")],
        [RequestPrepared("r", 1, 1, ())],
        [RequestAdmitted("r"), RequestAdmitted("r")],
        [FirstTokenSampled("r")],
        [ChipLost("p9")],
    ],
)
def test_what_cannot_have_happened_is_refused(events: list[Event]) -> None:
    state, *before, last = fresh(), *events
    for event in before:
        state.apply(event)
    with pytest.raises((KeyError, AssertionError)):
        state.apply(last)

"""Each law as a checker, beside what a reader may have heard, worked out by hand."""

import pytest

from cluster.api.output import Output
from cluster.chaos.heard import Heard
from cluster.chaos.laws import clean, ends, exact, honest, once, same

RIGHT = (5, 6, 7)


def heard(*outputs: Output, **changes: object) -> Heard:
    """A reader of a request for three tokens, asked at 0 with a deadline of 100 ns."""
    one = Heard("r", RIGHT, 0, 100)
    one.ended_ns = 90
    for output in outputs:
        one.take(output)
    for key, value in changes.items():
        setattr(one, key, value)
    return one


def told(position: int, *tokens: int, end: str = "", flagged: tuple[int, ...] = ()) -> Output:
    return Output("r", position, tokens, finish_reason=end, approximate=flagged)


WHOLE = (told(0, 5), told(1, 6, 7, end="length"))
FAILED = Output("r", 1, finish_reason="error", error={"code": "peer_dead", "message": "x"})


def test_a_right_answer_breaks_nothing() -> None:
    one = [heard(*WHOLE)]
    assert one[0].is_answered
    assert not [*exact.broken(one), *once.broken(one), *ends.broken(one, 200)]
    assert not list(honest.broken(one, is_allowed=False))


@pytest.mark.parametrize(
    ("outputs", "line"),
    [
        ((told(0, 5), told(1, 9, 7, end="length")), "exact: r heard 9 at position 1, not 6"),
        ((told(0, 5), told(1, 6, end="stop")), "exact: r ended with 2 of 3 tokens"),
        ((told(0, 4), FAILED), "exact: r heard 4 at position 0, not 5"),
    ],
)
def test_exact(outputs: tuple[Output, ...], line: str) -> None:
    """Also of what was told before an error."""
    assert list(exact.broken([heard(*outputs)])) == [line]


def test_an_answer_that_failed_is_the_beginning_of_the_right_one() -> None:
    one = [heard(told(0, 5), FAILED)]
    assert not [*exact.broken(one), *once.broken(one), *ends.broken(one, 200)]


@pytest.mark.parametrize(
    ("outputs", "line"),
    [
        ((told(0, 5), told(0, 5)), "once: r heard position 0 again, after 1 tokens"),
        ((told(0, 5), told(2, 7)), "once: r heard position 2 early, after 1 tokens"),
    ],
)
def test_once(outputs: tuple[Output, ...], line: str) -> None:
    assert list(once.broken([heard(*outputs)])) == [line]


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (heard(*WHOLE, ended_ns=101), "ends: r ended 1 ns after its deadline"),
        (heard(*WHOLE, ended_ns=None), "ends: r has not ended 100 ns after its deadline"),
        (heard(told(0, 5)), "ends: r ended with neither an answer nor an error"),
        (heard(code="internal_error", message="a bug"), "ends: r ended with internal_error: a bug"),
        (heard(FAILED, must_end_well=True), "ends: r failed without need: peer_dead: x"),
    ],
)
def test_ends(one: Heard, line: str) -> None:
    assert list(ends.broken([one], 200)) == [line]


@pytest.mark.parametrize("why", ["left", "is_orphan"])
def test_nobody_waits_for_the_end_of_what_nobody_reads(why: str) -> None:
    assert not list(ends.broken([heard(ended_ns=None, **{why: True})], 200))


def test_honest() -> None:
    flagged = heard(told(0, 5), told(1, 9, 8, end="length", flagged=(1, 2)))
    assert not [*exact.broken([flagged]), *honest.broken([flagged], is_allowed=True)]
    line = "honest: r is flagged from position 1 on, and nothing allows it"
    assert list(honest.broken([flagged], is_allowed=False)) == [line]
    silent = heard(told(0, 5), told(1, 9, 8, end="length", flagged=(1,)))
    line = "honest: r is flagged at 1, and not at 2 behind it"
    assert list(honest.broken([silent], is_allowed=True)) == [line]
    # What was flagged late excuses nothing before it.
    late = heard(told(0, 9), told(1, 9, 8, end="length", flagged=(1, 2)))
    assert list(exact.broken([late])) == ["exact: r heard 9 at position 0, not 5"]


def test_clean() -> None:
    assert not list(clean.broken({}, {"chip-0 jobs": 0}, []))
    assert list(clean.broken({"abort": 2}, {"chip-0 jobs": 1}, ["block 3 is free twice"])) == [
        "clean: 2 messages abort were sent while nobody asked for anything",
        "clean: chip-0 jobs is 1 when idle",
        "clean: block 3 is free twice",
    ]


def test_same() -> None:
    assert not list(same.broken("a", "a"))
    assert list(same.broken("a", "b")) == ["same: its trace is a, and b when it is repeated"]


def test_a_dead_peer_is_an_error_only_where_no_other_could_serve() -> None:
    one = heard(told(0, 5), FAILED)
    assert not list(ends.broken([one], 200))
    one.could_go_on = True
    assert list(ends.broken([one], 200)) == ["ends: r was given up, and others could serve it: x"]
    one.message = "x (attempt 3 of 3)"
    assert not list(ends.broken([one], 200))


def test_a_journal_that_cannot_be_written_is_clear_only_under_a_full_disk() -> None:
    message = "the router's journal cannot be written: no space"
    body = {"code": "internal_error", "message": message}
    one = heard(Output("r", 0, finish_reason="error", error=body))
    assert list(ends.broken([one], 200)) == [f"ends: r ended with internal_error: {message}"]
    one.is_unwritten = True
    assert not list(ends.broken([one], 200))


def test_that_time_is_over_is_no_error_where_nothing_was_wrong_for_long() -> None:
    """A deadline of 1 s, and all is well from 0.5 s on, or only from 0.7 s on."""
    late = {"code": "deadline_exceeded", "ended_ns": 10**9, "deadline_ns": 10**9}
    assert list(ends.broken([heard(told(0, 5), whole_since_ns=5 * 10**8, **late)], 10**9)) == [
        "ends: r hung: all was well from 500000000 ns on"
    ]
    assert not list(ends.broken([heard(told(0, 5), whole_since_ns=7 * 10**8, **late)], 10**9))

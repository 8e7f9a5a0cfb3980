"""Comparisons are read, and judged, as by hand; a wrong one is refused with what would be right."""

import pytest

from cluster.chaos.experiments.hypothesis import claim_of, judge
from cluster.chaos.experiments.measures import MEASURES, Phase, Told, spread

US = 1_000


def told(
    tokens: list[int], at_us: list[int], asked_us: int = 0, finish: str = "length", code: str = ""
) -> Told:
    """One token an arrival; the right answer is 1, 2, 3, 4."""
    found = Told("r", (1, 2, 3, 4), asked_us * US, 10**9)
    for position, (token, at) in enumerate(zip(tokens, at_us, strict=True)):
        found.tokens.append(token)
        found.positions.append((position, position))
        found.arrivals.append((at * US, 1))
    found.finish_reason, found.code = finish, code
    found.ended_ns = at_us[-1] * US
    return found


def phase(*streams: Told) -> Phase:
    return Phase("fault", list(streams), 0, 100 * US)


CALM = phase(told([1, 2, 3, 4], [10, 12, 14, 16]))


def value(measure: str, of: Phase) -> float | None:
    return MEASURES[measure].value(of)


def test_a_calm_stream_by_hand() -> None:
    assert value("p50_ttft", CALM) == 10 * US
    assert value("p99_tpot", CALM) == 2 * US  # (16 - 10) / 3
    assert value("stall", CALM) == 2 * US
    assert value("throughput", CALM) == 4 / 100e-6
    assert [value(name, CALM) for name in ("wrong_tokens", "lost_tokens", "failed")] == [0, 0, 0]
    assert CALM.longest_gaps() == (10 * US, 2 * US)
    assert spread(CALM, 50 * US) == [(25 * US, 4 / 50e-6, 2 * US), (75 * US, 0, None)]


def test_tokens_that_differ_are_missing_or_come_twice() -> None:
    assert value("wrong_tokens", phase(told([1, 9, 3, 4], [1, 2, 3, 4]))) == 1
    assert value("lost_tokens", phase(told([1, 2], [1, 2]))) == 2
    cut = phase(told([1, 2], [1, 2], finish="", code="peer_dead"))
    assert value("lost_tokens", cut) == 0  # it said that it failed
    assert (value("failed", cut), value("cut_streams", cut)) == (1, 1)
    again = told([1, 2, 3, 4], [1, 2, 3, 4])
    again.positions[3] = (1, 3)
    assert value("repeated_tokens", phase(again)) == 2
    left_out = told([1, 2, 3, 4], [1, 2, 3, 4])
    left_out.positions[2] = (3, 2)
    assert value("lost_tokens", phase(left_out)) == 1


@pytest.mark.parametrize(
    ("onset_us", "arrivals", "wanted_us"),
    [
        (11, [10, 12, 16, 18], 0),  # twice as long as the longest before is not late
        (11, [10, 12, 17, 19], 6),  # late until 17
        (18, [10, 12, 17, 19], 0),  # it was over when the fault began
        (5, [30, 32, 34, 36], 25),  # a first token that is late
    ],
)
def test_recovery_is_until_the_last_gap_that_was_made_late(
    onset_us: int, arrivals: list[int], wanted_us: int
) -> None:
    found = phase(told([1, 2, 3, 4], arrivals))
    found.onset_ns, found.usual_ns = onset_us * US, CALM.longest_gaps()
    assert value("recovery", found) == wanted_us * US


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ("p99_tpot < 2x baseline", False),  # 4 us beside 2 us
        ("p99_tpot <= 2x baseline", True),
        ("p99_tpot < 2.5 x baseline", True),
        ("p99_tpot == baseline", False),
        ("stall < 5 us", True),
        ("stall < 4 us", False),
        ("answered >= 1", True),
        ("recovery.answered != 0", False),
        ("recovery.p50_ttft < 1 s", False),  # nobody had a token: no evidence
    ],
)
def test_claims_are_judged(line: str, holds: bool) -> None:
    phases = {"fault": phase(told([1, 2, 3, 4], [10, 14, 18, 22])), "recovery": phase()}
    assert judge(claim_of(line), CALM, phases).holds is holds


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("all is well", "'all is well' is no comparison: write it as p99_tpot < 2x baseline"),
        ("p99_tpo < 1 s", "there is no measure 'p99_tpo': did you mean 'p99_tpot'"),
        ("recover.failed == 0", "no phase is called 'recover': did you mean 'recovery'?"),
        ("p99_tpot < 5", "has no unit: a duration needs one of"),
        ("failed == none", "'none' must be a number, or as 2x baseline"),
        ("failed == 2 ms", "'2 ms' must be a number"),
        ("recovery < 2x baseline", "a baseline recovers from nothing: give a time, 5 s"),
    ],
)
def test_what_cannot_be_compared_is_refused(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"^'") as error:
        claim_of(line)
    assert words in str(error.value)

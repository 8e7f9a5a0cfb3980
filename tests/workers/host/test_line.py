"""How far one clock is ahead of another: reckoned by hand, and for any clocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.host.clock.line import MEET_NS, TURN_MAX, Line, Sample, fit, turned

SECOND = 10**9


def test_one_sample_says_how_far_and_nothing_of_the_rate() -> None:
    line = fit([Sample(5 * SECOND, 3 * SECOND, 50_000)])
    assert line == Line(5 * SECOND, 3 * SECOND, 0.0)
    assert line.other_ns(7 * SECOND) == 10 * SECOND


def test_none_is_refused() -> None:
    with pytest.raises(ValueError, match="samples: is empty"):
        fit([])


@given(
    ahead_ns=st.integers(-(10**15), 10**15),
    ppm=st.integers(-500, 500),
    begun_ns=st.integers(0, 10**15),
)
def test_many_good_samples_say_both(ahead_ns: int, ppm: int, begun_ns: int) -> None:
    """64 a second apart, exact: a second later it is known to the microsecond."""
    samples = [
        Sample(begun_ns + n * SECOND, ahead_ns + n * SECOND * ppm // 10**6, 20_000)
        for n in range(64)
    ]
    line = fit(samples)
    assert line.rate * 1e6 == pytest.approx(ppm, abs=0.01)
    at_ns = begun_ns + 64 * SECOND
    expected_ns = at_ns + ahead_ns + 64 * SECOND * ppm // 10**6
    assert abs(line.other_ns(at_ns) - expected_ns) <= 1_000


def test_a_sample_counts_by_the_square_of_its_error() -> None:
    """One of 10 us says 0, one of 20 us says 100 us, at one instant: a fifth of the way."""
    line = fit([Sample(0, 100_000, 20_000), Sample(0, 0, 10_000)])
    assert line.ahead_ns == pytest.approx(20_000)


def test_what_spans_no_time_says_nothing_of_the_rate() -> None:
    """10 us of noise within a millisecond would be 10,000 ppm."""
    line = fit([Sample(0, 0, 20_000), Sample(1_000_000, 10_000, 20_000)])
    assert abs(line.rate) < 2e-6


@given(
    off_ns=st.integers(-(10**7), 10**7),
    rates=st.tuples(st.floats(-5e-4, 5e-4), st.floats(-5e-4, 5e-4)),
    own_ns=st.integers(0, 10**15),
)
def test_who_turns_neither_jumps_nor_goes_back_and_arrives(
    off_ns: int, rates: tuple[float, float], own_ns: int
) -> None:
    followed = Line(own_ns - 5 * SECOND, 1e6, rates[0])
    here_ns = followed.other_ns(own_ns)
    target = Line(own_ns, here_ns - own_ns + off_ns, rates[1])
    now = turned(followed, target, own_ns)
    assert abs(now.other_ns(own_ns) - here_ns) <= 1
    assert now.rate > -1
    met_ns = own_ns + MEET_NS
    if abs(off_ns) < TURN_MAX * MEET_NS / 2:
        assert abs(now.other_ns(met_ns) - target.other_ns(met_ns)) <= 2
    assert abs(now.rate) <= TURN_MAX


def test_the_first_line_is_followed_as_it_is() -> None:
    assert turned(None, Line(1, 2, 3e-6), 10) == Line(1, 2, 3e-6)

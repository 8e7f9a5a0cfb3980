"""How long an answer is waited for, by hand: three times (mean + 4 deviations), within bounds."""

from workers.wire.round_trips import RoundTrips, patience_ns_least

LONG_NS = 32 * 10**9  # a call with so much time left waits 1 s for an answer of an unknown kind


def test_smoothed_by_an_eighth_and_a_quarter() -> None:
    """First: mean 800, deviation 400 us. 1600 is 800 off: deviation 400 + 400 / 4, mean 800 + 100.
    100 is 800 off as well: deviation 500 + 300 / 4, mean 900 - 100.
    """
    trips = RoundTrips()
    for took_us, mean_us, deviation_us in ((800, 800, 400), (1_600, 900, 500), (100, 800, 575)):
        trips.heard("search", took_us * 1_000)
        assert trips.patience_ns("search", LONG_NS) == 3_000 * (mean_us + 4 * deviation_us)


def test_kinds_are_apart_and_an_unknown_one_has_a_share_of_the_time_left() -> None:
    trips = RoundTrips()
    trips.heard("search", 800_000)
    assert trips.patience_ns("reserve", LONG_NS) == 10**9
    assert trips.patience_ns("reserve", 63) == 1, "63 / 32, rounded down"
    assert trips.patience_ns("reserve", 31) == trips.patience_ns("reserve", 0) == 1


def test_no_shorter_than_a_queue_and_no_longer_than_an_unknown_kind() -> None:
    """100 ns would give 900 ns; 1 s would give 9 s, of a call that has 3.2 s left."""
    trips = RoundTrips()
    trips.heard("near", 100)
    assert trips.patience_ns("near", LONG_NS) == 50_000
    trips.heard("far", 10**9)
    assert trips.patience_ns("far", 3_200_000_000) == 100_000_000
    assert patience_ns_least(LONG_NS) == 50_000
    assert patience_ns_least(32 * 49_999) == 49_999

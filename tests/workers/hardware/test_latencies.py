"""A histogram of latencies: small, and at most 1.6 % off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.hardware.latencies import Latencies, bucket_of, largest_ns, more, percentile_ns


@given(st.integers(0, 10**12))
def test_a_bucket_holds_its_latency_and_is_narrow(latency_ns: int) -> None:
    bucket = bucket_of(latency_ns)
    assert latency_ns <= largest_ns(bucket) <= latency_ns * (1 + 1 / 64)
    assert bucket_of(largest_ns(bucket)) == bucket
    assert bucket_of(largest_ns(bucket) + 1) == bucket + 1


def test_percentiles_are_the_smallest_that_so_many_do_not_exceed() -> None:
    latencies = Latencies()
    for latency_ns in range(1, 101):
        latencies.add(latency_ns)
    assert percentile_ns(latencies.counts, 0.5) == 50
    assert percentile_ns(latencies.counts, 0.99) == 99
    latencies.add(20_000, 900)
    assert percentile_ns(latencies.counts, 0.1) == 100
    assert percentile_ns(latencies.counts, 0.5) == pytest.approx(20_000, rel=1 / 64)
    with pytest.raises(ValueError, match="no latency"):
        percentile_ns({}, 0.5)


def test_what_came_between_two_looks() -> None:
    assert more({5: 2, 7: 1}, {5: 2, 7: 4, 9: 1}) == {7: 3, 9: 1}
    assert more({5: 2}, {5: 1}) == {5: 1}, "the node began anew"

"""The closed network that flash is compared with, where its throughput is known by hand."""

import math

import pytest

from benchmarks.memory._closed import Network, throughput_per_ns


def test_one_plane_or_one_bus_is_what_holds_it_up() -> None:
    """A request each 100 ns of the plane's, or each 200 of the bus's; one in flight has both."""
    assert throughput_per_ns(Network(1, 1, 100, 7), 5, 400, 1) == pytest.approx(1 / 100)
    assert throughput_per_ns(Network(1, 1, 100, 200), 5, 400, 1) == pytest.approx(1 / 200)
    assert throughput_per_ns(Network(2, 8, 100, 7), 1, 400, 1) == pytest.approx(1 / 107)


def test_as_many_in_flight_as_planes_keep_few_more_than_half_at_work() -> None:
    """2 - sqrt(2) of them in a large network of constant service (Karol, Hluchyj and Morgan)."""
    found = throughput_per_ns(Network(1, 512, 1_000, 1e-6), 512, 20_000, 1)
    assert found * 1_000 / 512 == pytest.approx(2 - math.sqrt(2), rel=0.03)

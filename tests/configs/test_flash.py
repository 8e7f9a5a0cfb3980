"""What a flash tier implies, beside figures that were published and hand arithmetic."""

import pytest

from configs.flash import (
    channels_bytes_per_s,
    devices_that_hold,
    effective_read_bytes_per_s,
    hiding_buffer_bytes,
    life_of,
    reads_in_flight,
    sram_mm2,
)
from configs.schema import load_device
from tests.workers.bench import make_device, make_tier


def test_the_buffer_that_hides_latency() -> None:
    """2 x 1 TB/s x 20 us = 40 MB, which take 8 mm2 (H3); 20 MB of pages of 4 KiB are 4,883."""
    tier = make_tier(read_bytes_per_s=10**12, read_latency_ns=20_000, page_bytes=4_096)
    assert hiding_buffer_bytes(tier) == 40_000_000
    assert sram_mm2(40_000_000) == pytest.approx(8.0)
    assert reads_in_flight(tier) == 4_883
    assert reads_in_flight(make_tier()) == 1, "no latency: one after the other"


def test_requests_reach_what_is_in_flight_or_the_bandwidth() -> None:
    """Two channels of 0.5 GB/s; 100 B in grains of 64 are 128 B: 256 ns, and 744 of sensing. 10 of
    them in flight: 1 GB/s x 100 / 128 at most, and 10 x 100 B / 1,000 ns are more than that.
    """
    tier = make_tier(
        page_bytes=1_024, read_latency_ns=744, banks=1, channels=2, read_granularity_bytes=64
    )
    assert effective_read_bytes_per_s(tier, 100, 4) == pytest.approx(4e8)
    assert effective_read_bytes_per_s(tier, 100, 10) == pytest.approx(1e9 * 100 / 128)
    for wrong in (0, 1_025):
        with pytest.raises(ValueError, match=f"a request of {wrong} B: .* crosses no page"):
            effective_read_bytes_per_s(tier, wrong, 1)


def test_life_is_cycles_times_capacity_over_writes() -> None:
    """100 cycles of 365.25 GB at 1 MB/s: 36,525 GB, 36.525e6 s, 1.1574 years of 31,557,600 s."""
    tier = make_tier(capacity_bytes=365_250_000_000, endurance_cycles=100)
    assert life_of(tier, 1e6) == pytest.approx(36_525_000 / 31_557_600)
    assert life_of(tier, 0) == float("inf")
    assert life_of(make_tier(), 1e6) == float("inf")


@pytest.mark.parametrize(
    ("grade", "channels", "rate", "user"),
    [(1, 8, 8 * 10**9, 0.384e12), (2, 16, 16 * 10**9, 1.536e12), (3, 16, 32 * 10**9, 3.072e12)],
)
def test_ocp_grades_are_lanes_times_rate_times_efficiency(
    grade: int, channels: int, rate: int, user: float
) -> None:
    """64 lanes a channel: 256 GB/s at 32 GT/s, 4.096 TB/s in 16, of which 75 % are the user's."""
    tier = load_device(f"ocp-hbf-grade{grade}").tiers["hbf"]
    assert tier.channels == channels
    assert channels_bytes_per_s(channels, 64, rate) == tier.read_bytes_per_s
    assert tier.sustained_read_bytes_per_s == user
    assert reads_in_flight(tier) <= min(tier.num_planes, tier.queue_depth)
    assert tier.sustained_write_bytes_per_s == pytest.approx(8e9, rel=1e-3)


def test_as_few_devices_as_hold_it_in_powers_of_two() -> None:
    tiers = {"hbm": make_tier(capacity_bytes=30), "hbf": make_tier(capacity_bytes=70)}
    device = make_device(tiers)
    found = [devices_that_hold(num, device) for num in (1, 100, 101, 300, 401)]
    assert found == [1, 1, 2, 4, 8]

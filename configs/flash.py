"""What a flash tier implies: reads in flight, the buffer that hides its latency, how long it lasts,
the bandwidth of its channels, how many machines hold a need.

Formulas with their sources; nothing here is measured.
"""

from configs.schema.device import DeviceSpec, TierSpec

YEAR_S = 365.25 * 86_400
# H3 (IEEE CAL 2026, read in summaries): 40 MB of SRAM take 8 mm2 at 3 nm.
_SRAM_BYTES_PER_MM2 = 5_000_000


def reads_in_flight(tier: TierSpec) -> int:
    """Pages in flight with which reads reach the tier's bandwidth (Little's law)."""
    arriving = tier.sustained_read_bytes_per_s * tier.read_latency_ns
    return max(1, -(-arriving // (tier.page_bytes * 10**9)))


def hiding_buffer_bytes(tier: TierSpec) -> int:
    """SRAM that hides the latency of reads: 2 x bandwidth x latency, as half of it is consumed
    while the other half fills (H3, IEEE CAL 2026, "latency hiding buffer").
    """
    return 2 * tier.sustained_read_bytes_per_s * tier.read_latency_ns // 10**9


def sram_mm2(num_bytes: int) -> float:
    """Area of so much SRAM at 3 nm, at H3's density."""
    return num_bytes / _SRAM_BYTES_PER_MM2


def effective_read_bytes_per_s(tier: TierSpec, request_bytes: int, in_flight: int) -> float:
    """What requests of one size reach with so many outstanding, where no two meet in a plane:
    min(bandwidth, Q x s / t), t being a page's sensing and its turn on the channel's bus.

    Raises ValueError for a request that crosses a page.
    """
    if not 0 < request_bytes <= tier.page_bytes:
        raise ValueError(
            f"a request of {request_bytes} B: it is at least 1 B and crosses no page, which has "
            f"{tier.page_bytes} B"
        )
    moved = request_bytes + -request_bytes % (tier.read_granularity_bytes or tier.page_bytes)
    channel_bytes_per_s = tier.sustained_read_bytes_per_s / tier.channels
    took_s = tier.read_latency_ns * 1e-9 + moved / channel_bytes_per_s
    most = min(in_flight, tier.reads_in_flight_most)
    share = request_bytes / moved  # of what is moved, this was asked for
    return min(tier.sustained_read_bytes_per_s * share, most * request_bytes / took_s)


def life_years(endurance_cycles: float, capacity_bytes: float, write_bytes_per_s: float) -> float:
    """L = P x C / (W / T), of Characterizing HBF for LLM Serving (2026): program/erase cycles times
    capacity, over bytes written a second, of 365.25 days a year. What levelling and reclaiming
    write counts as well. Infinite if nothing is written. Raises ValueError below 0.
    """
    if write_bytes_per_s < 0:
        raise ValueError(f"write_bytes_per_s is {write_bytes_per_s}: it must be 0 or more")
    if write_bytes_per_s == 0:
        return float("inf")
    return endurance_cycles * capacity_bytes / write_bytes_per_s / YEAR_S


def life_of(tier: TierSpec, written_bytes_per_s: float) -> float:
    """Years of a tier that is written evenly; infinite where wear is of no concern."""
    if tier.endurance_cycles is None:
        return float("inf")
    return life_years(tier.endurance_cycles, tier.capacity_bytes, written_bytes_per_s)


def channels_bytes_per_s(num_channels: int, lanes: int, transfers_per_s: int) -> int:
    """Raw bandwidth one way of channels of so many lanes, a bit a transfer each (OCP HBF
    Architecture Specification 0.7.0).
    """
    return num_channels * lanes * transfers_per_s // 8


def devices_that_hold(num_bytes: int, device: DeviceSpec) -> int:
    """As few as hold so much in all their tiers together; a power of two, as tensor-parallel groups
    are (assumed by H3's counts).
    """
    capacity = sum(tier.capacity_bytes for tier in device.tiers.values())
    needed = -(-num_bytes // capacity)
    return 1 << (needed - 1).bit_length()

"""What flash does beside reading and writing pages, and what its banks must be to do what a tier
claims.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from configs.schema.section import Section
from configs.units import BANDWIDTH, DURATION, SIZE, DurationNs, Ratio

# A number for each of them is kept: 4 million are 64 MB.
PLANES_MOST = 1 << 22
# Half of all pages read twice is a worn-out device.
RETRY_PROBABILITY_MOST = 0.5


def _probability(value: float) -> float:
    if not 0 <= value <= RETRY_PROBABILITY_MOST:
        raise ValueError(
            f"{value!r} is no probability of a retry: it is from 0 to {RETRY_PROBABILITY_MOST}"
        )
    return value


class ReadRetry(Section):
    """A page that error correction cannot mend is sensed once more, at other voltages.

    probability   of each page sensed
    latency_ns    what it adds, for which its plane is taken
    """

    probability: Annotated[Ratio, AfterValidator(_probability)]
    latency_ns: DurationNs = Field(validation_alias="latency", serialization_alias="latency")


class ReadDisturb(Section):
    """Reading disturbs the other pages of a block: after so many reads it is written anew.

    reads        of one block, until then
    refresh_ns   for which its plane is taken: all its pages read, programmed elsewhere, and erased
    """

    reads: int = Field(ge=1)
    refresh_ns: DurationNs = Field(validation_alias="refresh", serialization_alias="refresh")


# How a matrix lies: its rows one after the other, its columns, or a kernel's tiles.
LayoutOrder = Literal["tile", "row", "column"]


class Layout(Section):
    """How expert weights lie in a tier, and the tile in which a kernel reads them
    (`configs.layouts`).

    order        tile-major reads each page once; the others what their tiles touch
    tile_rows, tile_columns   of the summed dimension (BLOCK_SIZE_K) and of outputs (BLOCK_SIZE_N)
    tiles_at_once   under way in the kernel, which share the page caches. 128 is assumed: about as
                    many as a large chip has cores
    """

    order: LayoutOrder
    tile_rows: int = Field(ge=1)
    tile_columns: int = Field(ge=1)
    tiles_at_once: int = Field(default=128, ge=1)


def problems_of_banks(
    *,
    num_planes: int,
    page_bytes: int,
    capacity_bytes: int,
    granularity_bytes: int | None,
    read_bytes_per_s: int,
    sense_ns: int,
    is_fair: bool,
) -> str:
    """Why a tier with banks cannot be, with what would be right; empty where it can."""
    page = SIZE.format(page_bytes)
    if granularity_bytes is not None and page_bytes % granularity_bytes:
        return (
            f"read_granularity is {SIZE.format(granularity_bytes)} and page {page}: a page is a "
            "whole number of it"
        )
    if num_planes > PLANES_MOST:
        return f"channels x banks x planes are {num_planes:,}: at most {PLANES_MOST:,} are emulated"
    if num_planes * page_bytes > capacity_bytes:
        return (
            f"{num_planes:,} planes (channels x banks x planes) of pages of {page} are more than "
            f"capacity, {SIZE.format(capacity_bytes)}: each plane has at least one page"
        )
    if is_fair:
        return "sharing is fair, and banks serve first come, first served: leave sharing out"
    needed = -(-read_bytes_per_s * sense_ns // (page_bytes * 10**9))
    if needed > num_planes:
        reached = num_planes * page_bytes * 10**9 // sense_ns
        return (
            f"read is {BANDWIDTH.format(read_bytes_per_s)}, and no queue depth reaches it: at "
            f"{DURATION.format(sense_ns)} a page it needs {needed:,} pages of {page} in flight, "
            f"each in a plane of its own, and there are {num_planes:,} planes (channels x banks x "
            f"planes), which reach {reached / 1e9:,.1f} GB/s"
        )
    return ""

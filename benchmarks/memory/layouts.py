"""Read amplification of flash by the layout of weights, beside TileLens (arXiv 2607.04031).

Published (read in a summary): fused_moe of Qwen3-30B, pages of 4 KB: column-major weights are
read 10.1 times over and take 11.2 times as long, row-major 3.9 and 3.3 times; tile-major ends
within 1 % of HBM with prefetch (4.915 TB/s in six stacks, 5 us a page). The summary names no tile.

Assumed: an expert's three projections lie as matrices of their own, gate and up 2,048 x 768 and
down 768 x 2,048, in bf16; each tile's pages are read once, and no page is at hand when another tile
wants it (hundreds of tiles are under way at once, and the tiles that share a page are a sweep
apart). The tile is one that vLLM ships for this very layer on H100
(fused_moe/configs/E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json), for 64 to 256 tokens:
BLOCK_SIZE_K 128, BLOCK_SIZE_N 256. It was chosen knowing what the nine tiles of that file give by
hand: of them it is the nearest, and in four of the nine row-major is the worse one.

Expected by hand: row-major 3 times for gate and up (rows of 1,536 B, of which 512 are wanted) and 8
for down, 4.7 in all; column-major 16 (columns of 4,096 B, of which 256 are wanted) and 6, 12.7 in
all; tile-major 1. So the published order, with sizes a fifth to a quarter above the published.

What came out is that: the sizes are not reproduced within 15 %, their ratio is. What could make the
difference, and is in no public source: traffic that is not amplified, such as activations, of 27 %
of the weights' bytes would bring both within 1 %.
"""

from collections.abc import Iterator

from benchmarks.rows import Row
from configs.layouts import Tiling, pages_read
from configs.schema.flash import LayoutOrder
from configs.schema.tier import TierSpec
from tests.workers.bench import make_device, make_tier
from workers.hardware.hardware import Hardware
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace

PAGE, BITS = 4_096, 16
HIDDEN, INNER = 2_048, 768  # huggingface.co/Qwen/Qwen3-30B-A3B, config.json
TILE = (128, 256)  # BLOCK_SIZE_K, BLOCK_SIZE_N
# All (BLOCK_SIZE_K, BLOCK_SIZE_N) in that file of vLLM's.
SHIPPED_TILES = ((64, 32), (64, 64), (64, 128), (64, 256), (128, 32), (128, 64), (128, 128),
                 (128, 256), (256, 32))  # fmt: skip
PUBLISHED: dict[LayoutOrder, float] = {"tile": 1.0, "row": 3.9, "column": 10.1}
SLOWER: dict[LayoutOrder, float] = {"row": 3.3, "column": 11.2}
WITHIN = 0.15
EXPERTS = 8  # of one token


def run() -> Iterator[Row]:
    found = {order: amplification_of_expert(order, TILE) for order in PUBLISHED}
    how = f"projection: vLLM's tile, {TILE[0]} x {TILE[1]}, no page at hand twice"
    for order, right in PUBLISHED.items():
        off = found[order] / right - 1
        yield Row(
            f"{order}-major: bytes read for each byte of an expert",
            found[order],
            "",
            f"{right:g} within {WITHIN:.0%} (TileLens)",
            abs(off) <= WITHIN,
            f"{how}; {off:+.0%}",
        )
    ordered = found["tile"] < found["row"] < found["column"]
    shown = " < ".join(f"{order} {times:.1f}" for order, times in found.items())
    yield Row("layouts from best to worst", shown, "", "the published order", ordered, how)
    ratio, right = found["column"] / found["row"], PUBLISHED["column"] / PUBLISHED["row"]
    yield Row(
        "column-major beside row-major",
        ratio,
        "times",
        f"{right:.2f} within {WITHIN:.0%} (TileLens)",
        abs(ratio / right - 1) <= WITHIN,
        how,
    )
    yield from other_tiles()
    yield from times()


def amplification_of_expert(order: LayoutOrder, tile: tuple[int, int]) -> float:
    pages = sum(pages_of_expert(order, tile))
    return pages * PAGE / (3 * HIDDEN * INNER * BITS // 8)


def pages_of_expert(order: LayoutOrder, tile: tuple[int, int]) -> tuple[int, int, int]:
    """Of gate, up and down."""
    gate = pages_read(Tiling(HIDDEN, INNER, *tile, BITS), order, PAGE)
    return gate, gate, pages_read(Tiling(INNER, HIDDEN, *tile, BITS), order, PAGE)


def other_tiles() -> Iterator[Row]:
    """Of all that vLLM ships: in which the order is the published one, and which is nearest."""
    as_published = sum(
        amplification_of_expert("row", tile) < amplification_of_expert("column", tile)
        for tile in SHIPPED_TILES
    )
    yield Row(
        "vLLM's tiles for this layer in which column-major is the worst",
        as_published,
        f"of {len(SHIPPED_TILES)}",
        "none",
        True,
        "projection: by pages touched",
    )

    def error(tile: tuple[int, int]) -> float:
        orders: tuple[LayoutOrder, ...] = ("row", "column")
        return max(abs(amplification_of_expert(o, tile) / PUBLISHED[o] - 1) for o in orders)

    best = min(SHIPPED_TILES, key=error)
    yield Row(
        "error of the nearest of vLLM's tiles for this layer",
        error(best) * 100,
        "%",
        "none",
        True,
        f"projection: BLOCK_SIZE_K {best[0]}, BLOCK_SIZE_N {best[1]}",
    )


def stacks() -> TierSpec:
    """TileLens's flash: six stacks, 4.915 TB/s, 5 us. Channels and banks as OCP's cubes; 16 planes
    a bank are the fewest, as a power of two, that reach it; places for twice what hides 5 us.
    """
    return make_tier(
        capacity_bytes=6 << 39,
        read_bytes_per_s=4_915 * 10**9,
        read_latency_ns=5_000,
        page_bytes=PAGE,
        queue_depth=12_000,
        channels=96,
        banks=16,
        planes=16,
    )


def times() -> Iterator[Row]:
    """A token's experts in virtual time, beside tile-major; TileLens's kernels also compute."""
    device = make_device({"hbf": stacks()}, default_tier="hbf")
    took = {}
    for order in PUBLISHED:
        machine = Hardware("flash", device, VirtualClock(), Trace(), None)
        pages = EXPERTS * sum(pages_of_expert(order, TILE))
        # Tile-major is one stretch; elsewhere each page is read by itself.
        accesses = EXPERTS if order == "tile" else pages
        demand = Demand("hbf.read", pages * PAGE, accesses)
        took[order] = machine.launch(Work("experts", (demand,)), 0).due_ns
    for order, published in SLOWER.items():
        yield Row(
            f"{order}-major beside tile-major: time to read {EXPERTS} experts",
            took[order] / took["tile"],
            "times",
            "none",
            True,
            f"projection: {took[order] / 1e3:,.1f} us; TileLens's kernels: {published} times HBM's",
        )

"""What a tier says of its banks: read with units, defaulted, refused by key with the numbers."""

import pytest

from configs.schema import ScenarioError, load_device, load_scenario
from tests.workers.bench import make_tier

TIER = "cluster.nodes.hbf.device.tiers.hbf"
OCP = {"cluster.nodes.hbf.device": "ocp-hbf-grade2"}

# key, value, and what the one problem says
REFUSED = [
    ("page", "1 TiB", "page is 1 TiB and capacity 512 GiB: a tier holds at least one page"),
    ("read_granularity", "96 B", "read_granularity is 96 B and page 4 KiB: a page is a whole"),
    ("read_granularity", 64, ".read_granularity: 64 has no unit: a size needs one of B, kB"),
    ("read", "0 TB/s", ".read: '0 TB/s' is too little: a bandwidth is at least 1 kB/s"),
    ("read", "2 TW", ".read: '2 TW' has unit 'TW': a bandwidth takes one of B/s"),
    (
        "read_latency",
        "30 us",
        "read is 1.536 TB/s, and no queue depth reaches it: at 30 us a page it needs 11,250 pages "
        "of 4 KiB in flight, each in a plane of its own, and there are 8,192 planes",
    ),
    ("planes", 10**5, ".planes: is 100000: input should be less than or equal to 65536"),
    ("planes", 65_536, "channels x banks x planes are 16,777,216: at most 4,194,304 are emulated"),
    ("capacity", "16 MiB", "8,192 planes (channels x banks x planes) of pages of 4 KiB are more"),
    ("sharing", "fair", "sharing is fair, and banks serve first come, first served"),
    ("banks", None, "channels says something of banks: say how many in banks"),
    ("buffer", "4 KiB", "buffer is 4 KiB and page 4 KiB: it must hold at least two, 8 KiB"),
    ("idle_power", "90 W", "idle_power is 90 W and active_power 80 W: at work it draws at least"),
    (
        "read_retry",
        {"probability": 0.7, "latency": "20 us"},
        ".read_retry.probability: 0.7 is no probability of a retry: it is from 0 to 0.5",
    ),
    (
        "read_retry",
        {"probability": "1 %", "latency": 20},
        ".read_retry.latency: 20 has no unit: a duration needs one of ns",
    ),
    ("read_disturb", {"reads": 0, "refresh": "20 ms"}, ".read_disturb.reads: is 0: input should"),
    ("embodied_carbon", "5 kg", "'5 kg' has unit 'kg': a carbon footprint takes one of gCO2e"),
    (
        "layout",
        {"order": "diagonal", "tile_rows": 64, "tile_columns": 64},
        ".layout.order: is 'diagonal': input should be 'tile', 'row' or 'column'",
    ),
]


@pytest.mark.parametrize(("key", "value", "message"), REFUSED)
def test_what_cannot_be_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario("demo", {**OCP, f"{TIER}.{key}": value})
    (problem,) = caught.value.problems
    assert message in problem
    assert problem.startswith(f"override: {TIER}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("channels", 2),
        ("planes", 2),
        ("page_cache", 2),
        ("prefetch", 2),
        ("read_granularity_bytes", 1),
        ("read_retry", {"probability": 0.1, "latency_ns": 1}),
        ("read_disturb", {"reads": 1, "refresh_ns": 1}),
    ],
)
def test_without_banks_nothing_is_said_of_them(key: str, value: object) -> None:
    said = key.removesuffix("_bytes")
    with pytest.raises(ValueError, match=f"{said} says something of banks: say how many in banks"):
        make_tier(**{key: value})


def test_the_bandwidth_that_planes_just_reach_is_accepted() -> None:
    """4 planes of 1,000 B in 4,000 ns: a byte a ns, and none more."""
    just = {
        "page_bytes": 1_000, "read_latency_ns": 4_000, "banks": 4, "read_bytes_per_s": 10**9,
    }  # fmt: skip
    assert make_tier(**just).num_planes == 4
    with pytest.raises(ValueError, match=r"needs 5 pages .* there are 4 planes"):
        make_tier(**{**just, "read_bytes_per_s": 10**9 + 1})
    half = make_tier(**{**just, "read_bytes_per_s": 2 * 10**9, "efficiency": 0.5})
    assert half.sustained_read_bytes_per_s == 10**9


def test_a_tier_that_says_nothing_is_as_it_was() -> None:
    tier = load_device("hbf-gen1").tiers["hbf"]
    assert tier.banks is None and tier.num_planes == 1
    assert tier.reads_in_flight_most == tier.queue_depth == 8_192
    assert (tier.buffer_bytes, tier.prefetch, tier.layout) == (None, None, None)


def test_a_buffer_bounds_reads_in_flight() -> None:
    """Half of 40 kB fills: 20 pages of 1,000 B."""
    tier = make_tier(page_bytes=1_000, queue_depth=64, buffer_bytes=40_000)
    assert tier.reads_in_flight_most == 20
    assert make_tier(page_bytes=1_000, queue_depth=8, buffer_bytes=40_000).reads_in_flight_most == 8

"""A file behind a tier: defaults, and what cannot be, refused by key with the numbers."""

import pytest

from configs.plan import MemoryPlan, Plan, make_plan
from configs.schema import ScenarioError, load_scenario
from tests.configs.test_plan import TINY
from tests.workers.bench import make_tier
from workers.flash.geometry import geometry_of

HBF = "cluster.nodes.hbf"
IN_FILE = {
    f"{HBF}.device.tiers.hbf.file": {"capacity": "64 MiB"},
    f"{HBF}.tiers.pool": "hbf",
    "cluster.nodes.pnm": None,
}


def plan(**changes: object) -> Plan:
    return make_plan(load_scenario("demo", {**IN_FILE, **changes}), TINY)


def test_the_pool_has_what_the_file_holds() -> None:
    node = plan().node("hbf-0")
    (server,) = node.workers
    assert isinstance(server, MemoryPlan)
    assert server.pool_bytes == 64 << 20
    assert [fill.num_bytes for fill in node.fills["hbf"] if fill.what == "pool"] == [64 << 20]
    geometry = geometry_of(node.device.tiers["hbf"])
    assert (geometry.num_blocks, geometry.num_logical) == (256 + 4, 16_384)
    assert geometry.endurance_cycles == 100_000
    assert geometry.page_bytes == 4_096


REFUSED = [
    ("capacity", "100 KiB", "capacity is 100 KiB: it holds at least one block of 64 pages of 4"),
    ("capacity", "1 GiB", "with 4 spare blocks the file has 1025 MiB, and 256 MiB is the most"),
    ("capacity", 64, "64 has no unit: a size needs one of B, kB"),
    ("spare_blocks", 1, "spare_blocks: is 1: input should be greater than or equal to 2"),
    ("pages_per_block", 0, "pages_per_block: is 0: input should be greater than or equal to 1"),
    ("wear_spread", 0, "wear_spread: is 0: input should be greater than or equal to 1"),
    ("blocks", 9, "blocks"),
]


@pytest.mark.parametrize(("key", "value", "message"), REFUSED)
def test_what_cannot_be_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario("demo", {**IN_FILE, f"{HBF}.device.tiers.hbf.file.{key}": value})
    assert message in " ".join(caught.value.problems)


def test_only_flash_whose_pages_are_sectors_has_a_file() -> None:
    file, wears = {"capacity_bytes": 1 << 20}, {"page_bytes": 512, "endurance_cycles": 10}
    assert make_tier(file=file, **wears).file is not None
    with pytest.raises(ValueError, match="file: the tier has no endurance_cycles, and its file"):
        make_tier(file=file, page_bytes=512)
    with pytest.raises(ValueError, match="file: page is 1 kB: behind a file it is a multiple"):
        make_tier(file=file, page_bytes=1_000, endurance_cycles=10)
    with pytest.raises(ValueError, match=r"the file has 1\.125 MiB, and 1 MiB is all of the tier"):
        make_tier(file=file, capacity_bytes=1 << 20, **wears)


def test_an_erase_is_of_a_plane() -> None:
    with pytest.raises(ValueError, match="erase_latency says something of banks: say how many"):
        make_tier(erase_latency_ns=5)
    assert make_tier(write_latency_ns=7).erase_ns == 70
    assert make_tier(banks=1, erase_latency_ns=5).erase_ns == 5


def test_a_file_in_which_nothing_lies_is_refused() -> None:
    at = f"{HBF}.device.tiers.hbf.file"
    with pytest.raises(ScenarioError, match=rf"{at}: is given, and the KV pool lies in tier ddr"):
        plan(**{f"{HBF}.tiers.pool": "ddr"})
    with pytest.raises(ScenarioError, match=rf"{at}: is given, and no KV pool lies on these nodes"):
        plan(**{"placement.kv_pool": False})


def test_a_file_that_holds_no_kv_block_is_refused() -> None:
    """One of 32,768 B needs a little more than 8 pages of 4 KiB."""
    small = {f"{HBF}.device.tiers.hbf.file": {"capacity": "32 KiB", "pages_per_block": 8}}
    with pytest.raises(ScenarioError, match=r"file.capacity: is 32 KiB: it holds at least one KV"):
        plan(**small)
    small[f"{HBF}.device.tiers.hbf.file"] = {"capacity": "36 KiB", "pages_per_block": 9}
    (fill,) = plan(**small).node("hbf-0").fills["hbf"]
    assert (fill.what, fill.num_bytes) == ("pool", 9 * 4_096)

"""What may be asked for, and what that costs: pages, queues, buses, engines and planes."""

import pytest

from configs.schema.device import EngineSpec, ResourceSpec
from tests.workers.bench import make_device, make_tier
from workers.hardware.hardware import Hardware
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace


def hardware(**changes: object) -> Hardware:
    device = make_device(**changes)  # type: ignore[arg-type]
    return Hardware("test", device, VirtualClock(), Trace(), None)


def launched(machine: Hardware, work: Work, start_ns: int) -> int:
    """When it is due; for machines that serve in order, where that is certain at once."""
    launch = machine.launch(work, start_ns)
    assert not launch.num_open
    return launch.due_ns


def due_ns(work: Work, **changes: object) -> int:
    return launched(hardware(**changes), work, 0)


def test_pages_round_each_access_and_not_the_sum() -> None:
    """10 accesses of 100 bytes move 10 pages of 256; in one access they are 4 pages."""
    tiers = {"hbm": make_tier(page_bytes=256)}
    for accesses, moved in ((1, 1_024), (10, 2_560), (4, 1_024), (3, 3 * 512)):
        work = Work("w", (Demand("hbm.read", 1_000, accesses),))
        assert due_ns(work, tiers=tiers) == moved
    assert due_ns(Work("w", (Demand("hbm.read", 0, 5),)), tiers=tiers) == 0


def test_few_pages_in_flight_are_slow_alone_and_hold_up_nobody() -> None:
    """20 pages of 100 bytes, 4 at once, a turn and 1 us each: four rounds of 1,100, then 4 turns
    and the last one's latency. The next one has what is left of the bus: together as fast as ever.
    """
    tiers = {"hbm": make_tier(page_bytes=100, queue_depth=1_000, read_latency_ns=1_000)}
    machine = hardware(tiers=tiers)
    few = Work("few", (Demand("hbm.read", 2_000, in_flight=4),))
    assert launched(machine, few, 0) == 4 * 1_100 + 4 * 100 + 1_000
    assert launched(machine, Work.of("many", reads={"hbm": 3_000}), 0) == 2_000 + 3_000 + 1_000
    enough = Work("enough", (Demand("hbm.read", 2_000, in_flight=11),))
    assert due_ns(enough, tiers=tiers) == 2_000 + 1_000


def test_reads_and_writes_contend_where_they_share_a_bus() -> None:
    """A byte read takes 1 ns of it, a byte written 2."""
    tier = {"write_bytes_per_s": 5 * 10**8}
    work = Work.of("w", reads={"hbm": 300}, writes={"hbm": 200})
    assert due_ns(work, tiers={"hbm": make_tier(**tier)}) == 400
    machine = hardware(tiers={"hbm": make_tier(**tier, shared_bus=True)})
    assert launched(machine, work, 0) == 300 + 400
    assert machine.resources["hbm.read"].busy_ns(650) == 650


def test_what_the_specification_names_can_be_asked_for() -> None:
    """An engine beside a tier and flash planes: entries of the device, and no code anywhere."""
    device = {
        "engines": {"pnm": EngineSpec(compute={"int8": 2 * 10**9}, flop_pj=3.0)},
        "resources": {"planes": ResourceSpec(rate_per_s=4e6, servers=4, latency_ns=50, unit_pj=7)},
    }
    machine = hardware(**device)
    demands = (Demand("pnm.int8", 1_000), Demand("planes", 9, accesses=9))
    assert launched(machine, Work("w", demands), 0) == 3_000 + 50, "three rounds of 4, 4 and 1"
    assert machine.resources["pnm.int8"].busy_ns(3_000) == 500
    assert machine.resources["planes"].busy_ns(3_000) == 9 * 1_000 // 4
    assert machine.joules == pytest.approx((1_000 * 3 + 9 * 7) * 1e-12)


def test_weights_and_kv_may_lie_in_different_tiers() -> None:
    tiers = {"hbm": make_tier(), "hbf": make_tier(read_bytes_per_s=10**8)}
    machine = hardware(tiers=tiers)
    assert launched(machine, Work.of("w", reads={"hbm": 300, "hbf": 100}), 0) == 1_000
    assert machine.resources["hbm.read"].busy_ns(1_000) == 300

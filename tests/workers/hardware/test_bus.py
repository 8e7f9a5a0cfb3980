"""A tier's bandwidth within and its bus to the outside: what an engine beside it reads does not
leave it.
"""

import pytest

from tests.workers.bench import make_device, make_tier
from workers.hardware.energy.phase import Phase
from workers.hardware.hardware import Hardware
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace

# A byte a nanosecond within at 1 pJ/bit, a quarter of that to the outside at 2 pJ/bit.
TIER = make_tier(bus_bytes_per_s=250_000_000, bus_pj_per_bit=2.0)
NEAR = {"die": {"beside": "hbm", "compute": {"fp32": 10**9}, "flop_pj": 0.25}}


def machine(**changes: object) -> Hardware:
    values: dict[str, object] = {"engines": NEAR, **changes}
    return Hardware("n", make_device({"hbm": TIER}, **values), VirtualClock(), Trace(), None)


GEMV = Work.of("experts", flops={"fp32": 100}, reads={"hbm": 1_000})


def test_near_reads_within_and_all_else_crosses_the_bus() -> None:
    """1,000 bytes: 1 us within, 4 us over the bus; 8 and 16 nJ; 100 operations of 0.25 or 0.5."""
    near, main, shipped = (
        machine().launch(work, 0)
        for work in (GEMV.on("die"), GEMV, Work.of("vectors_read", reads={"hbm": 1_000}))
    )
    assert (near.due_ns, main.due_ns, shipped.due_ns) == (1_000, 4_000, 4_000)
    assert near.joules == pytest.approx(8e-9 + 25e-12)
    assert main.joules == pytest.approx(24e-9 + 50e-12)
    assert shipped.joules == pytest.approx(24e-9)


def test_those_who_ship_share_the_bus_and_not_with_those_who_are_near() -> None:
    hardware = machine()
    shipped = Work.of("vectors_read", reads={"hbm": 1_000})
    assert [hardware.launch(shipped, 0).due_ns for _ in range(2)] == [4_000, 8_000]
    # Two reads within are before it; the bus is not.
    assert hardware.launch(GEMV.on("die"), 0).due_ns == 3_000


def test_writes_and_messages_within_the_machine_cross_it_too() -> None:
    hardware, ends = machine(), list[int]()
    assert hardware.launch(Work.of("kv_write", writes={"hbm": 500}), 0).due_ns == 2_000
    hardware.copy(10_000, 250, ends.append, Phase.SERVING)
    assert ends == [12_000], "in and out: 500 bytes on the bus"


def test_energy_is_metered_by_resource_and_adds_up() -> None:
    hardware = machine()
    for work in (GEMV.on("die"), GEMV):
        hardware.launch(work, 0, Phase.DECODE)
    told = hardware.meter.read(10_000, {"machine": hardware.joules}).dynamic
    assert {name: by["decode"] for name, by in told.items()} == pytest.approx(
        {"die.fp32": 25e-12, "compute.fp32": 50e-12, "hbm.read": 16e-9, "hbm.bus": 16e-9}
    )
    assert sum(by["decode"] for by in told.values()) == pytest.approx(hardware.joules)


def test_a_tier_without_a_bus_asks_for_none() -> None:
    plain = Hardware("n", make_device(), VirtualClock(), Trace(), None)
    assert "hbm.bus" not in plain.resources
    assert plain.launch(Work.of("x", reads={"hbm": 1_000}), 0).due_ns == 1_000


def test_an_engine_without_part_in_a_launch_keeps_nothing_within() -> None:
    """The main engine and the one beside the tier both: the launch is near."""
    both = Work("both", (*GEMV.demands, Demand("die.fp32", 1)))
    assert machine().launch(both, 0).due_ns == 1_000
    far = {"die": {**NEAR["die"], "beside": None}}
    assert machine(engines=far).launch(GEMV.on("die"), 0).due_ns == 4_000

"""A machine's meter, reckoned by hand: 1 operation and 1 byte a ns; 0.5 pJ an operation, 8 pJ a
byte read and 24 pJ a byte written.
"""

import pytest

from tests.workers.bench import make_device, make_tier, run_alone
from workers.hardware.energy.conservation import counted, differences, integral
from workers.hardware.energy.meter import Reading
from workers.hardware.energy.phase import Phase
from workers.hardware.hardware import Hardware
from workers.hardware.work import Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace

PJ = 1e-12
WORK = Work.of("w", flops={"fp32": 3_000}, reads={"hbm": 1_000}, writes={"hbm": 2_000})


def machine(**changes: object) -> Hardware:
    device = make_device(**changes)  # type: ignore[arg-type]
    return Hardware("m", device, VirtualClock(), Trace(), None)


def read(hardware: Hardware, now_ns: int) -> Reading:
    return hardware.meter.read(now_ns, {"machine": hardware.joules, "link": 0.0})


def test_components_are_amounts_times_the_energy_of_a_unit() -> None:
    hardware = machine()
    hardware.launch(WORK, 0, Phase.DECODE)
    assert read(hardware, 0).dynamic == {
        "compute.fp32": {"decode": pytest.approx(1_500 * PJ)},
        "hbm.read": {"decode": pytest.approx(8_000 * PJ)},
        "hbm.write": {"decode": pytest.approx(48_000 * PJ)},
    }


def test_a_mixture_is_split_by_tokens_and_loses_nothing() -> None:
    """1,001 bytes, 1 token of 3 prefill: 333 and 668."""
    hardware = machine()
    hardware.launch(Work.of("w", reads={"hbm": 1_001}), 0, (1, 2))
    spent = read(hardware, 0).dynamic["hbm.read"]
    assert spent == {
        "prefill": pytest.approx(333 * 8 * PJ),
        "decode": pytest.approx(668 * 8 * PJ),
    }


def test_power_is_drawn_while_a_part_is_taken_and_idle_watts_always() -> None:
    """Idle 1 W: 1 uJ a us. Beside that, two reads of 1,000 bytes, the second in line for the
    first: 8 nJ in each of the first two us; and a write of 3,000 bytes: 24 nJ in each of three.
    """
    hardware = machine(idle_watts=1.0)
    hardware.launch(Work.of("r", reads={"hbm": 1_000}), 0)
    hardware.launch(Work.of("r", reads={"hbm": 1_000}), 0)
    hardware.launch(Work.of("w", writes={"hbm": 3_000}), 0)
    told = read(hardware, 4_000)
    assert told.bucket_ns == 1_000
    assert told.buckets == pytest.approx([1.032e-6, 1.032e-6, 1.024e-6, 1e-6])
    assert told.static_joules == pytest.approx(4e-6)
    assert told.drawn_joules == pytest.approx(88e-9)
    assert counted(told) == pytest.approx(4.088e-6)
    assert differences("m", told) == []


def test_latency_and_launches_draw_nothing() -> None:
    hardware = machine(tiers={"hbm": make_tier(read_latency_ns=5_000)}, launch_overhead_ns=3_000)
    hardware.launch(Work.of("r", reads={"hbm": 1_000}), 0)
    assert read(hardware, 9_000).buckets == pytest.approx([8e-9])


def test_fair_flows_draw_until_they_end() -> None:
    """Two reads of 1,000 bytes together: both end at 2,000. Before that nothing is certain."""

    async def job(clock: VirtualClock) -> tuple[Reading, Reading]:
        tiers = {"hbm": make_tier(sharing="fair")}
        hardware = Hardware("m", make_device(tiers), clock, Trace(), None)
        hardware.launch(Work.of("r", reads={"hbm": 1_000}), 0)
        hardware.launch(Work.of("r", reads={"hbm": 1_000}), 0)
        await clock.wait_until(1_500)
        before = read(hardware, 1_500)
        await clock.wait_until(2_500)
        return before, read(hardware, 2_500)

    before, after = run_alone(job)
    assert before.buckets == []
    assert before.open_joules == pytest.approx(16e-9)
    assert after.buckets == pytest.approx([8e-9, 8e-9])
    assert after.open_joules == 0
    assert differences("m", before) == differences("m", after) == []


def test_a_message_between_workers_of_a_machine_draws_its_memory_s_power() -> None:
    """1,000 bytes written and read: 24 and 8 nJ."""
    hardware = machine()
    hardware.copy(0, 1_000, lambda _: None, Phase.KV_TRANSFER)
    told = read(hardware, 1_000)
    assert told.dynamic == {
        "hbm.read": {"kv_transfer": pytest.approx(8e-9)},
        "hbm.write": {"kv_transfer": pytest.approx(24e-9)},
    }
    assert told.accounts["machine"] == pytest.approx(32e-9)
    assert differences("m", told) == []


def test_a_meter_that_is_restarted_knows_nothing_of_before() -> None:
    """Not even the end of what is under way."""

    async def job(clock: VirtualClock) -> Reading:
        tiers = {"hbm": make_tier(sharing="fair")}
        hardware = Hardware("m", make_device(tiers, idle_watts=2.0), clock, Trace(), None)
        hardware.launch(Work.of("r", reads={"hbm": 5_000}), 0)
        await clock.wait_until(1_000)
        hardware.meter.restart(1_000)
        hardware.joules = 0.0
        await clock.wait_until(6_000)
        return read(hardware, 6_000)

    told = run_alone(job)
    assert told.is_restarted
    assert (told.dynamic, told.open_joules, told.drawn_joules) == ({}, 0.0, 0)
    assert told.static_joules == pytest.approx(10e-6)
    assert integral(told) == pytest.approx(10e-6)


@pytest.mark.parametrize("hand", ["machine", "components", "timeline"])
def test_what_one_hand_misses_is_told(hand: str) -> None:
    hardware = machine(idle_watts=1.0)
    hardware.launch(WORK, 0)
    if hand == "machine":
        hardware.joules *= 1.001
    elif hand == "components":
        component = hardware.resources["hbm.read"].component
        assert component is not None
        component.count(1, Phase.DECODE)
    else:
        hardware.meter.timeline.draw(0, 10, 1e-12)
    found = differences("m", read(hardware, 1_000))
    assert any("m: components and" in text and " differ: 5.75" in text for text in found)


def test_a_part_that_draws_nothing_is_not_metered() -> None:
    hardware = machine(flop_pj=0.0)
    assert hardware.resources["compute.fp32"].component is None
    hardware.launch(WORK, 0)
    assert set(read(hardware, 0).dynamic) == {"hbm.read", "hbm.write"}

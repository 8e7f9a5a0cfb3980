"""A launch measured by itself is what it is on a machine in use."""

import pytest

from configs.presets import expand
from configs.schema import DeviceSpec
from workers.fold.accounts import charge
from workers.fold.launches import Bench
from workers.hardware.energy.phase import Phase
from workers.hardware.hardware import Hardware
from workers.hardware.usage import work_problems
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace

WORKS = (
    Work.of("attention", flops={"bf16": 10**9}, reads={"hbm": 3 * 10**8}, writes={"hbm": 4096}),
    Work("rows", (Demand("hbm.read", 10_000, 17), Demand("compute.fp32", 999))),
    Work("nothing"),
)


def machine() -> tuple[DeviceSpec, Hardware]:
    spec = DeviceSpec.model_validate(expand("device", "b200-sxm"))
    return spec, Hardware("n", spec, VirtualClock(), Trace(), None)


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_it_takes_as_long_and_asks_for_as_much(work: Work) -> None:
    spec, hardware = machine()
    measure = Bench(spec, VirtualClock()).launch(work)
    launch = hardware.launch(work, 0, Phase.DECODE)
    assert measure.took_ns == launch.due_ns
    told = Hardware("told", spec, VirtualClock(), Trace(), None)
    charge(told, measure.resources, Phase.DECODE, 0, launch.due_ns)
    for name, resource in hardware.resources.items():
        other = told.resources[name]
        assert other.tally() == resource.tally()
        assert other.busy_ns(launch.due_ns) == resource.busy_ns(launch.due_ns)
        assert other.taken.taken_ns(launch.due_ns) == resource.taken.taken_ns(launch.due_ns)
    assert told.joules == pytest.approx(hardware.joules, rel=1e-12)
    assert not list(work_problems(told.resources, launch.due_ns))


def test_a_slow_machine_takes_so_many_times_as_long() -> None:
    """1.5 x 1,001 ns is 1,501.5: rounded up."""
    spec, _ = machine()
    plain, slow = (Bench(spec, VirtualClock(), factor) for factor in (1.0, 1.5))
    took_ns, late_ns = (bench.launch(WORKS[0]).took_ns for bench in (plain, slow))
    assert late_ns == -(-took_ns * 3 // 2)
    hardware = Hardware("n", spec, VirtualClock(), Trace(), None, slow=1.5)
    assert hardware.launch(WORKS[0], 1_000).due_ns == 1_000 + late_ns

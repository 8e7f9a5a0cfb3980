"""Steps that are charged together are charged as one by one."""

import numpy as np
import pytest

from tests.workers.fold.test_launches import WORKS, machine
from workers.fold.accounts import Tab, charge
from workers.fold.costs import Cost
from workers.fold.launches import Bench, Measure
from workers.hardware.energy.phase import Cause, Phase
from workers.hardware.hardware import Hardware
from workers.host.clock.virtual import VirtualClock

MIXED: Cause = (3, 1)  # tokens of prompts and of answers


def cost(measure: Measure, cause: Cause) -> Cost:
    return Cost(np.array([measure.took_ns]), Measure(), measure.resources, cause, 1, [], [[]])


def read(hardware: Hardware, now_ns: int) -> tuple[list[object], list[float]]:
    """Counts, and joules over time."""
    of_each = [
        (name, one.tally(), one.busy_ns(now_ns), one.taken.taken_ns(now_ns))
        for name, one in hardware.resources.items()
    ]
    told = hardware.meter.read(now_ns, {})
    return [of_each, told.dynamic], told.buckets


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_however_many_at_once(at_once: int) -> None:
    """Prompts and answers among them, and steps that ask for different things."""
    spec, one_by_one = machine()
    _, together = machine()
    bench, tab = Bench(spec, VirtualClock()), Tab(together)
    causes = [Phase.DECODE, Phase.DECODE, MIXED, Phase.PREFILL, Phase.DECODE, MIXED, Phase.DECODE]
    now_ns = 0
    for number, cause in enumerate(causes):
        step = cost(bench.launch(WORKS[number % len(WORKS)]), cause)
        end_ns = now_ns + int(step.launches_ns[0]) + 100
        charge(one_by_one, step.resources, cause, now_ns, end_ns)
        tab.note(step, now_ns, end_ns, {})
        now_ns = end_ns
        if number % at_once == 0:
            tab.settle()
    tab.settle()
    tab.settle()  # nothing is charged twice
    (counts, buckets), (right, right_buckets) = read(together, now_ns), read(one_by_one, now_ns)
    assert counts == right
    assert buckets == pytest.approx(right_buckets, rel=1e-12)
    assert together.joules == pytest.approx(one_by_one.joules, rel=1e-12)


def test_what_a_queue_has_counted_by_itself_is_not_counted_again() -> None:
    """The launch of the second step has joined the memory's queue: its 100 ns are there already."""
    spec, hardware = machine()
    step = cost(Bench(spec, VirtualClock()).launch(WORKS[0]), Phase.DECODE)
    busy_ns = step.resources["hbm.read"].busy_ns
    tab = Tab(hardware)
    tab.note(step, 0, 10**9, {})
    tab.note(step, 10**9, 2 * 10**9, {"hbm.read": 100})
    tab.settle()
    assert hardware.resources["hbm.read"].busy_ns(2 * 10**9) == 2 * busy_ns - 100

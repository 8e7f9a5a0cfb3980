"""Launches in a row beside the same, one by one."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.workers.bench import make_device, make_tier
from workers.hardware.energy.phase import Phase
from workers.hardware.hardware import Hardware
from workers.hardware.work import Work
from workers.host.clock.virtual import VirtualClock, virtual_loop
from workers.host.trace import Trace

Asked = tuple[int, Work, int]  # when, what, how often in a row


def launches(
    asked: Sequence[Asked],
    *,
    in_a_row: bool,
    slow: Sequence[tuple[int, float]] = (),
    **changes: object,
) -> tuple[object, ...]:
    """When each is done, and what the machine has counted. `slow`: from when on it is how slow."""
    clock = VirtualClock()
    device = make_device(**changes)  # type: ignore[arg-type]
    machine = Hardware("test", device, clock, Trace(), None)
    done: list[tuple[int, int]] = []

    async def one(number: int, at_ns: int, work: Work, times: int) -> None:
        await clock.wait_until(at_ns)
        if in_a_row:
            await machine.run_for(Phase.DECODE, work._replace(times=times), lambda: None)
        else:
            for _ in range(times):
                await machine.run_for(Phase.DECODE, work, lambda: None)
        done.append((number, clock.now()))

    def becomes_slow(factor: float) -> None:
        machine.slow = factor

    for at_ns, factor in slow:
        clock.call_at(at_ns, becomes_slow, factor)

    async def every() -> None:
        tasks = [clock.start(one(n, *each), str(n)) for n, each in enumerate(asked)]
        for task in tasks:
            await task

    loop = virtual_loop(clock)
    try:
        loop.run_until_complete(every())
    finally:
        loop.close()
    now_ns = clock.now()
    counted = {
        name: (one.asked, one.moved, one.work_ns(), one.busy_ns(now_ns), one.taken.taken_ns(now_ns))
        for name, one in machine.resources.items()
    }
    dynamic = machine.meter.read(now_ns, {}).dynamic
    return sorted(done), counted, dynamic, pytest.approx(machine.joules)


def drawn(rng: random.Random) -> list[Asked]:
    """Long rows, and others that come while they last."""
    found: list[Asked] = []
    for _ in range(rng.randint(1, 4)):
        work = Work.of(
            "w", flops={"fp32": rng.randint(0, 90)}, reads={"hbm": rng.randint(1, 90)},
            writes={"hbm": rng.randint(0, 40)},
        )  # fmt: skip
        found.append((2 * rng.randint(0, 1_500) + 1, work, rng.choice([1, 2, 7, 40])))
    return found


@pytest.mark.parametrize("seed", range(30))
def test_as_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    tier = make_tier(read_latency_ns=rng.choice([0, 8]), page_bytes=rng.choice([1, 32]))
    device: dict[str, Any] = {"tiers": {"hbm": tier}, "launch_overhead_ns": rng.choice([0, 30])}
    asked = drawn(rng)
    assert launches(asked, in_a_row=True, **device) == launches(asked, in_a_row=False, **device)


@pytest.mark.parametrize("seed", range(20))
def test_a_machine_that_is_slow_for_a_while_has_them_as_one_by_one(seed: int) -> None:
    """All begin at odd times and take even ones, and it changes its pace at even times: no two at
    once, whose order is another matter.
    """
    rng = random.Random(f"slow rows {seed}")
    asked = []
    for at_ns, work, times in drawn(rng):
        demands = tuple(one._replace(amount=2 * one.amount) for one in work.demands)
        asked.append((at_ns, work._replace(demands=demands), times))
    spells = [(2 * rng.randint(0, 3_000), rng.choice((1.0, 2.0, 3.0))) for _ in range(3)]
    both = [launches(asked, in_a_row=each, slow=spells) for each in (True, False)]
    assert both[0] == both[1]


def test_a_slow_row_by_hand() -> None:
    """Four of 10 ns and an overhead of 5 ns take 60 ns, from 1 on; at half the pace 120."""
    read = Work.of("w", reads={"hbm": 10})
    (right, *_), (slow, *_) = (
        launches([(1, read, 4)], in_a_row=True, slow=spells, launch_overhead_ns=5)
        for spells in ([], [(0, 2.0)])
    )
    assert (right, slow) == ([(0, 61)], [(0, 121)])


def test_a_row_by_hand() -> None:
    """50 ns each, 10 of them; who asks at 120 for 20 ns of reading comes behind the third, and
    before the fourth.
    """
    row, other = Work.of("row", reads={"hbm": 50}), Work.of("other", reads={"hbm": 20})
    done, counted, _, _ = launches([(0, row, 10), (120, other, 1)], in_a_row=True)
    assert done == [(0, 520), (1, 170)]
    assert counted["hbm.read"][:2] == (520, 520)  # type: ignore[index]


def test_a_tier_that_is_shared_fairly_has_them_one_by_one() -> None:
    tier = make_tier(sharing="fair")
    asked = [(0, Work.of("row", reads={"hbm": 50}), 10), (121, Work.of("o", reads={"hbm": 20}), 1)]
    ways = [launches(asked, in_a_row=way, tiers={"hbm": tier}) for way in (True, False)]
    assert ways[0] == ways[1]


def test_what_is_cancelled_ends_with_the_one_in_progress() -> None:
    clock = VirtualClock()
    machine = Hardware("test", make_device(), clock, Trace(), None)

    async def job() -> None:
        work = Work.of("row", reads={"hbm": 50})._replace(times=10)
        task = clock.start(machine.run_for(Phase.DECODE, work, lambda: None), "row")
        await clock.wait_until(120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop = virtual_loop(clock)
    try:
        loop.run_until_complete(job())
    finally:
        loop.close()
    assert machine.resources["hbm.read"].asked == 150

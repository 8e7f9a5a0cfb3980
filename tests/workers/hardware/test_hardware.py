"""The roofline, reckoned by hand: the bench's machine does 1 operation and moves 1 byte a ns."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.workers.bench import make_device, make_tier, run_alone
from workers.hardware.hardware import IN_LINE_FLOPS_MAX, Hardware
from workers.hardware.work import Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Ran, Trace


def hardware(clock: VirtualClock, **changes: object) -> Hardware:
    return Hardware("test", make_device(**changes), clock, Trace(), None)  # type: ignore[arg-type]


def launched(machine: Hardware, work: Work, start_ns: int) -> int:
    """When it is due; for machines that serve in order, where that is certain at once."""
    launch = machine.launch(work, start_ns)
    assert not launch.num_open
    return launch.due_ns


def due_ns(work: Work, **changes: object) -> int:
    return launched(hardware(VirtualClock(), **changes), work, 0)


def test_compute_bound() -> None:
    work = Work.of("w", flops={"fp32": 5_000}, reads={"hbm": 300}, writes={"hbm": 200})
    assert due_ns(work) == 5_000


def test_memory_bound_and_the_two_directions_do_not_share() -> None:
    work = Work.of("w", flops={"fp32": 100}, reads={"hbm": 3_000}, writes={"hbm": 2_000})
    assert due_ns(work) == 3_000


def test_the_slowest_tier_decides() -> None:
    tiers = {"hbm": make_tier(), "hbf": make_tier(read_bytes_per_s=10**8)}
    work = Work.of("w", reads={"hbm": 3_000, "hbf": 400})
    assert due_ns(work, tiers=tiers) == 4_000


def test_launch_overhead_comes_on_top_and_is_not_the_resource_s() -> None:
    """It is the machine's launch, during which compute is free for others."""
    machine = hardware(VirtualClock(), launch_overhead_ns=70)
    work = Work.of("w", flops={"fp32": 100})
    assert launched(machine, work, 0) == 170
    assert launched(machine, work, 0) == 270, "queues behind the first one's 100, not its 170"
    assert launched(machine, Work("nothing"), 0) == 70


def test_compute_efficiency_and_tier_efficiency() -> None:
    work = Work.of("w", flops={"fp32": 1_000})
    assert due_ns(work, compute_efficiency=0.5) == 2_000
    slow = {"hbm": make_tier(efficiency=0.25)}
    assert due_ns(Work.of("w", reads={"hbm": 1_000}), tiers=slow) == 4_000


def test_whole_pages_are_moved() -> None:
    tiers = {"hbm": make_tier(page_bytes=4_096)}
    assert due_ns(Work.of("w", reads={"hbm": 1}), tiers=tiers) == 4_096
    assert due_ns(Work.of("w", reads={"hbm": 4_096}), tiers=tiers) == 4_096
    assert due_ns(Work.of("w", writes={"hbm": 4_097}), tiers=tiers) == 8_192


def test_latency_comes_after_the_last_byte_each_way_its_own() -> None:
    tiers = {"hbm": make_tier(read_latency_ns=20, write_latency_ns=500)}
    assert due_ns(Work.of("w", reads={"hbm": 100}), tiers=tiers) == 120
    assert due_ns(Work.of("w", writes={"hbm": 100}), tiers=tiers) == 600


def test_little_s_law_few_reads_in_flight_do_not_reach_the_bandwidth() -> None:
    """Pages of 100 bytes, 2 in flight: five rounds of a turn and 1 us, and the second turn of the
    last one. So 200 bytes in 1,100 ns, where 1 byte a ns would do.
    """
    tiers = {"hbm": make_tier(page_bytes=100, queue_depth=2, read_latency_ns=1_000)}
    assert due_ns(Work.of("w", reads={"hbm": 1_000}), tiers=tiers) == 5 * 1_100 + 100
    deep = {"hbm": make_tier(page_bytes=100, queue_depth=100, read_latency_ns=1_000)}
    assert due_ns(Work.of("w", reads={"hbm": 1_000}), tiers=deep) == 1_000 + 1_000
    assert due_ns(Work.of("w", writes={"hbm": 1_000}), tiers=tiers) == 1_000, "no latency, no limit"


def test_two_runs_queue_where_they_share_and_nowhere_else() -> None:
    machine = hardware(VirtualClock())
    assert launched(machine, Work.of("a", flops={"fp32": 1_000}), 0) == 1_000
    assert launched(machine, Work.of("b", flops={"fp32": 500}), 100) == 1_500
    assert launched(machine, Work.of("c", reads={"hbm": 300}), 100) == 400
    assert launched(machine, Work.of("d", flops={"fp32": 10}), 9_000) == 9_010, (
        "idle time is not saved"
    )


def test_energy_is_operations_and_bits() -> None:
    """0.5 pJ an operation, 1 pJ a bit read, 3 pJ a bit written."""
    machine = hardware(VirtualClock())
    launched(machine, Work.of("w", flops={"fp32": 1_000}, reads={"hbm": 10}, writes={"hbm": 20}), 0)
    assert machine.joules == pytest.approx((500 + 80 + 480) * 1e-12)


def test_what_the_machine_lacks_is_refused_with_what_it_has() -> None:
    machine = hardware(VirtualClock())
    known = "test has compute.fp32, hbm.read, hbm.write"
    with pytest.raises(ValueError, match=f"'w' asks for 'compute.int4'; {known}"):
        launched(machine, Work.of("w", flops={"int4": 1}), 0)
    with pytest.raises(ValueError, match=r"'w' asks for 'hbf.read'"):
        launched(machine, Work.of("w", flops={"fp32": 9}, reads={"hbf": 1}), 0)
    assert machine.resources["compute.fp32"].busy_ns(100) == 0, "and nothing has begun"
    assert machine.joules == 0


def test_run_returns_the_kernel_s_result_when_it_is_due() -> None:
    trace = Trace()

    async def job(clock: VirtualClock) -> None:
        machine = Hardware("test", make_device(), clock, trace, None)
        await clock.wait_until(40)
        work = Work.of("double", flops={"fp32": 100})

        def times(x: int, *, by: int) -> int:
            return x * by

        assert await machine.run(work, times, 21, by=2) == 42
        assert clock.now() == 140

    run_alone(job)
    assert list(trace.records) == [Ran(140, "test", "double", 100, 100 * 0.5e-12, -100)]


def test_concurrent_runs_overlap_in_time_as_their_resources_allow() -> None:
    async def job(clock: VirtualClock) -> list[tuple[str, int]]:
        machine, ends = hardware(clock), []

        async def one(name: str, work: Work) -> None:
            await machine.run(work, lambda: None)
            ends.append((name, clock.now()))

        tasks = [
            clock.start(one("compute 1", Work.of("c", flops={"fp32": 300})), "1"),
            clock.start(one("compute 2", Work.of("c", flops={"fp32": 300})), "2"),
            clock.start(one("memory", Work.of("m", reads={"hbm": 400})), "3"),
        ]
        for task in tasks:
            await task
        return ends

    assert run_alone(job) == [("compute 1", 300), ("memory", 400), ("compute 2", 600)]


def test_a_kernel_s_error_reaches_whoever_ran_it() -> None:
    async def job(clock: VirtualClock) -> None:
        with pytest.raises(ZeroDivisionError):
            await hardware(clock).run(Work("w"), lambda: 1 // 0)

    run_alone(job)


def test_a_message_between_workers_of_a_machine_costs_its_memory() -> None:
    tiers = {"hbm": make_tier(write_bytes_per_s=5 * 10**8, read_latency_ns=7)}
    machine, there = hardware(VirtualClock(), tiers=tiers), list[int]()
    machine.copy(100, 1_000, there.append)
    machine.copy(100, 1_000, there.append)
    assert there == [2_100, 4_100], "and queues there"


def test_small_kernels_stay_in_line_and_big_ones_go_to_the_thread() -> None:
    import asyncio
    import threading
    import time

    from workers.host.clock.live import LiveClock

    async def main() -> None:
        clock = LiveClock(time.monotonic_ns(), emulated=False)
        with ThreadPoolExecutor(1, thread_name_prefix="compute") as thread:
            machine = Hardware("test", make_device(), clock, Trace(), thread)
            name = lambda: threading.current_thread().name  # noqa: E731
            small = Work.of("small", flops={"fp32": IN_LINE_FLOPS_MAX - 1})
            big = Work.of("big", flops={"fp32": IN_LINE_FLOPS_MAX})
            assert (await machine.run(small, name)).startswith("MainThread")
            assert (await machine.run(big, name)).startswith("compute")
        clock.close()

    asyncio.run(main())


# -- fair ------------------------------------------------------------------------------------------


def test_a_cancelled_run_has_been_launched_all_the_same() -> None:
    async def job(clock: VirtualClock) -> int:
        machine = hardware(clock, tiers={"hbm": make_tier(sharing="fair")})
        work = Work.of("w", reads={"hbm": 1_000})
        task = clock.start(machine.run(work, lambda: None), "cancelled")
        await clock.wait_until(100)
        task.cancel()
        await machine.run(work, lambda: None)
        return clock.now()

    assert run_alone(job) == 100 + 900 * 2 + 100

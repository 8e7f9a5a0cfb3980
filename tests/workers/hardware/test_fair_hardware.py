"""A machine whose tiers are shared fairly."""

from tests.workers.bench import make_device, make_tier, run_alone
from tests.workers.hardware.test_hardware import hardware
from workers.hardware.hardware import Hardware
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Ran, Trace


def test_two_runs_share_a_fair_tier_and_each_is_due_when_its_share_is_there() -> None:
    """The second comes at 400, when 600 of the first are left, and wants 300: at half speed until
    1000, then the first has 300 alone. Launch and latency are on top, and take nobody's time.
    """
    trace = Trace()

    async def job(clock: VirtualClock) -> list[tuple[str, int]]:
        tiers = {"hbm": make_tier(sharing="fair", read_latency_ns=5)}
        device = make_device(tiers, launch_overhead_ns=70)
        machine, ends = Hardware("test", device, clock, trace, None), []

        async def one(name: str, at_ns: int, num_bytes: int) -> None:
            await clock.wait_until(at_ns)
            work = Work.of(name, flops={"fp32": 10}, reads={"hbm": num_bytes})
            ends.append((await machine.run(work, lambda: name), clock.now()))

        tasks = [clock.start(one("a", 0, 1_000), "a"), clock.start(one("b", 400, 300), "b")]
        for task in tasks:
            await task
        assert machine.resources["hbm.read"].busy_ns(clock.now()) == 1_300
        return ends

    assert run_alone(job) == [("b", 1_075), ("a", 1_375)]
    ran = [(r.work, r.took_ns) for r in trace.records if isinstance(r, Ran)]
    assert ran == [("b", 675), ("a", 1_375)]


def test_few_pages_in_flight_leave_a_fair_tier_to_others() -> None:
    """20 pages, 5 at once: alone they have their turns by 3 x 4,100 + 500 = 12,800, 0.156 bytes a
    ns. The other has 0.844, and ends its 3,000 bytes at 3,556. Each is there 4,000 later.
    """

    async def job(clock: VirtualClock) -> int:
        slow = make_tier(sharing="fair", page_bytes=100, queue_depth=1_000, read_latency_ns=4_000)
        machine = hardware(clock, tiers={"hbm": slow})
        few = machine.launch(Work("few", (Demand("hbm.read", 2_000, in_flight=5),)), 0)
        await machine.run(Work.of("many", reads={"hbm": 3_000}), lambda: None)
        assert clock.now() == 3_556 + 4_000
        await few.certain()
        return few.due_ns

    assert run_alone(job) == 12_800 + 4_000


def test_copies_share_a_fair_tier() -> None:
    async def job(clock: VirtualClock) -> list[int]:
        machine, there = hardware(clock, tiers={"hbm": make_tier(sharing="fair")}), list[int]()
        machine.copy(0, 1_000, there.append)
        machine.copy(0, 1_000, there.append)
        assert there == []
        await clock.wait_until(1_999)
        assert there == []
        await clock.wait_until(5_000)
        return there

    assert run_alone(job) == [2_000, 2_000]

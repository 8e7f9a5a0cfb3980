"""What is charged, and what resources did with their time, by hand: a byte, an operation a ns."""

import pytest

from tests.workers.bench import make_device, make_tier
from workers.hardware.hardware import Hardware
from workers.hardware.taken import Taken
from workers.hardware.usage import Usage, more, problems, usage_of, work_problems
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace

PJ = 1e-12


def machine(**changes: object) -> Hardware:
    return Hardware("m", make_device({"hbm": make_tier(**changes)}), VirtualClock(), Trace(), None)


def usage(hardware: Hardware, now_ns: int, links_ns: int = 0) -> Usage:
    found = usage_of(hardware.spec, hardware.resources, 0, now_ns, {"link.out": links_ns})
    assert list(problems(found)) == []
    return found


def states(hardware: Hardware, resource: str, now_ns: int) -> tuple[int, int, int]:
    """Busy, waiting, idle."""
    told = usage(hardware, now_ns).states(resource)
    assert sum(told.values()) == now_ns
    return told["busy_ns"], told["waiting_ns"], told["idle_ns"]


@pytest.mark.parametrize(
    ("amount", "accesses", "charged"), [(100, 1, 128), (30, 3, 192), (128, 2, 128), (0, 1, 0)]
)
def test_whole_pages_are_charged_as_they_are_moved(
    amount: int, accesses: int, charged: int
) -> None:
    hardware = machine(page_bytes=64)
    launch = hardware.launch(Work("w", (Demand("hbm.read", amount, accesses),)), 0)
    assert launch.due_ns == charged
    assert launch.joules == pytest.approx(charged * 8 * PJ)
    counts = usage(hardware, 1_000).tiers["hbm"]
    assert (counts["asked_read_bytes"], counts["read_bytes"]) == (amount, charged)


def test_a_latency_is_waited_for_and_the_rest_is_idle() -> None:
    """300 ns of bytes and 100 of latency, twice: the second asks at 350, in line behind nobody."""
    hardware = machine(read_latency_ns=100)
    read = Work.of("r", reads={"hbm": 300})
    hardware.launch(read, 0)
    assert states(hardware, "hbm.read", 200) == (200, 0, 0)
    hardware.launch(read, 350)
    assert states(hardware, "hbm.read", 1_000) == (600, 150, 250)
    assert states(hardware, "hbm.write", 1_000) == (0, 0, 1_000)


def test_both_ways_of_one_bus_have_one_time() -> None:
    hardware = machine(shared_bus=True)
    hardware.launch(Work.of("w", reads={"hbm": 300}, writes={"hbm": 200}), 0)
    for way in ("hbm.read", "hbm.write"):
        assert states(hardware, way, 1_000) == (500, 0, 500)
    assert list(work_problems(hardware.resources, 1_000)) == []


def test_a_link_is_busy_or_idle() -> None:
    told = usage(machine(), 1_000, 400).states("link.out")
    assert told == {"busy_ns": 400, "waiting_ns": 0, "idle_ns": 600}


def test_stretches_that_touch_or_overlap_count_once() -> None:
    """[0, 10], [5, 20] and [20, 25], then [40, 60]; an end that nobody knows yet goes on."""
    taken = Taken()
    for begin_ns, end_ns in ((0, 10), (5, 20), (20, 25)):
        taken.until(begin_ns, lambda _: None)(end_ns)
    assert (taken.taken_ns(12), taken.taken_ns(30)) == (12, 25)
    told = taken.until(40, lambda _: None)
    assert taken.taken_ns(50) == 35 and taken.is_asked(50)
    told(60)
    assert taken.taken_ns(100) == 45 and not taken.is_asked(60)


def test_times_that_cannot_be_are_told_by_name() -> None:
    """Work that nobody asked for, and more asked for than time passed."""
    unasked = Usage(100, {"hbm.read": 30}, {"hbm.read": 20}, {}, {})
    assert list(problems(unasked)) == [
        "hbm.read: waiting_ns is -10: busy 30 ns, asked for 20 ns, in a span of 100 ns"
    ]
    longer = Usage(100, {"hbm.read": 30}, {"hbm.read": 101}, {}, {})
    assert [text.split(":")[1] for text in problems(longer)] == [" idle_ns is -1"]


def test_work_that_was_never_done_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 bytes asked for, and one in ten lost on the way to whoever serves them."""
    hardware = machine()
    resource = hardware.resources["hbm.read"]
    serve = resource.shared.serve
    monkeypatch.setattr(
        type(resource.shared),
        "serve",
        lambda _, now_ns, amount, *rest: serve(now_ns, amount * 9 // 10, *rest),
    )
    hardware.launch(Work.of("r", reads={"hbm": 1_000}), 0)
    assert list(work_problems(hardware.resources, 500)) == [], "it is under way"
    assert list(work_problems(hardware.resources, 1_000)) == [
        "hbm.read: busy 900 ns, and what was moved takes 1000 ns"
    ]


def test_between_two_looks_is_the_difference_and_a_new_incarnation_s_is_whole() -> None:
    counts = {"written_bytes": 5}
    before = Usage(100, {"r": 10}, {"r": 30}, {"hbm": counts}, {"hbm.read": {7: 1}})
    after = Usage(250, {"r": 40}, {"r": 90}, {"hbm": {"written_bytes": 9}}, {"hbm.read": {7: 3}})
    came = more(before, after)
    assert came == Usage(
        150, {"r": 30}, {"r": 60}, {"hbm": {"written_bytes": 4}}, {"hbm.read": {7: 2}}
    )
    assert more(None, after) == after
    assert more(after, before) == before

"""Reading ahead, reckoned by hand: a tier of 1 byte a ns, 100 ns away."""

import pytest

from tests.workers.bench import make_device, make_tier
from workers.hardware.energy.conservation import counted, differences
from workers.hardware.energy.phase import Phase
from workers.hardware.hardware import Hardware
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace


def machine(buffer_bytes: int | None, clock: VirtualClock | None = None) -> Hardware:
    tier = make_tier(read_latency_ns=100, buffer_bytes=buffer_bytes)
    return Hardware("n", make_device(tiers={"hbm": tier}), clock or VirtualClock(), Trace(), None)


def weights(num_bytes: int) -> Work:
    return Work("w", (Demand("hbm.read", num_bytes, ahead=True),))


def ends(one: Hardware, *asked: tuple[int, int]) -> list[int]:
    """When each of (at, bytes) is there."""
    found = []
    for at_ns, num_bytes in asked:
        launch = one.launch(weights(num_bytes), at_ns)
        assert not launch.num_open
        found.append(launch.due_ns)
    return found


def test_without_a_buffer_each_launch_waits_for_the_latency() -> None:
    assert ends(machine(None), (0, 300), (400, 300), (800, 300)) == [400, 800, 1200]


def test_launches_that_follow_each_other_take_bytes_by_bandwidth() -> None:
    """Half the buffer, 200, holds bandwidth x latency, 100. Only the first one waits for it.

    at 0     300 read until 300, there at 400; 200 ahead until 500, there at 600
    at 400   of 300 are 200 there at 600, 100 read until 600, there at 700; 200 until 800, at 900
    at 700   200 there at 900, 100 read until 900, there at 1000
    """
    assert ends(machine(400), (0, 300), (400, 300), (700, 300)) == [400, 700, 1000]


def test_what_fits_half_the_buffer_is_there_when_it_is_asked_for() -> None:
    assert ends(machine(1_000), (0, 500), (2_000, 500), (4_000, 300), (4_000, 200)) == [
        600, 2_000, 4_000, 4_000,
    ]  # fmt: skip


def test_less_than_the_latency_s_worth_shows() -> None:
    """Half the buffer is 50: so many bytes are on their way at once, 101 ns each round of 50.

    at 0     300 are six rounds, the last byte's turn ends at 555, there at 655; 50 ahead, at 756
    at 655   50 there at 756; 250 are rounds 7 to 11, the last turn ends at 1161, there at 1261
    """
    assert ends(machine(100), (0, 300), (655, 300)) == [655, 1_261]


def test_who_reads_something_else_waits_for_what_was_read_ahead() -> None:
    one = machine(400)
    ends(one, (0, 300))
    other = one.launch(Work.of("kv", reads={"hbm": 10}), 300)
    assert other.due_ns == 500 + 10 + 100, "the bus is free when 200 have been read ahead"


def test_where_ends_can_still_change_the_launch_waits() -> None:
    clock = VirtualClock()
    tier = make_tier(read_latency_ns=100, buffer_bytes=400, sharing="fair")
    one = Hardware("n", make_device(tiers={"hbm": tier}), clock, Trace(), None)
    launch = one.launch(weights(300), 0)
    assert launch.num_open == 1


@pytest.mark.parametrize("buffer_bytes", [100, 400, 10_000])
def test_what_is_read_is_what_is_counted(buffer_bytes: int) -> None:
    """Energy is that of bytes that the tier has read, those in the buffer among them."""
    tier = make_tier(read_latency_ns=100, buffer_bytes=buffer_bytes, read_pj_per_bit=1.0)
    device = make_device(tiers={"hbm": tier}, idle_watts=0.0)
    one = Hardware("n", device, VirtualClock(), Trace(), None)
    last = 0
    for _ in range(7):
        launch = one.launch(weights(300), last, Phase.DECODE)
        last = launch.due_ns
    read = 7 * 300 + buffer_bytes // 2
    reading = one.meter.read(10**9, {"machine": one.joules})
    assert differences("n", reading) == []
    assert counted(reading) == pytest.approx(read * 8e-12)

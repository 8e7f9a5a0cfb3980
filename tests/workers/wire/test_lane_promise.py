"""Whoever is alone on a lane is told its end at once; with company nobody can know."""

from tests.workers.bench import BYTES_PER_S, run_alone
from workers.host.clock.virtual import VirtualClock
from workers.wire.kinds.left import NOT_KNOWN_NS
from workers.wire.lane import FairLane


class Ends:
    """What a traveller was told."""

    def __init__(self) -> None:
        self.num_took_back = 0
        self.end_ns: int | None = None

    def took_back(self) -> None:
        self.num_took_back += 1

    def ended(self, end_ns: int) -> None:
        self.end_ns = end_ns


def test_a_message_that_is_alone_is_promised_its_end() -> None:
    """A byte a nanosecond. The first, of 1,000 bytes, is alone; the second, when it has ended, too.
    The third joins the second half-way: 500 bytes each are left, both at half speed, until 4,000.
    The fourth, after that, is alone again.
    """

    async def job(clock: VirtualClock) -> None:
        lane = FairLane(BYTES_PER_S, clock)
        first, second, third, fourth = (Ends() for _ in range(4))
        assert lane.start(0, 1_000, first) == (0, 1_000)
        assert lane.start(2_500, 1_000, second) == (2_500, 3_500)
        await clock.wait_until(3_000)
        assert lane.start(3_000, 500, third) == (3_000, NOT_KNOWN_NS)
        await clock.wait_until(5_000)
        assert (second.end_ns, third.end_ns) == (4_000, 4_000)
        assert [each.num_took_back for each in (first, second, third)] == [0, 1, 0]
        assert lane.start(5_000, 10, fourth) == (5_000, 5_010)
        assert lane.busy_ns(6_000) == 1_000 + 1_500 + 10
        assert first.end_ns is None, "its promise was kept"

    run_alone(job)

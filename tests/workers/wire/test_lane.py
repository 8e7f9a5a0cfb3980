"""Lanes reckoned by hand: 1 byte a ns, 1 us on the way, unless a test says otherwise."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from configs.schema.link import LinkSpec
from tests.workers.bench import make_link, run_alone
from workers.host.clock.virtual import VirtualClock
from workers.wire.lane import Lane

Way = tuple[str, str, int, int]  # from, to, at, bytes
LATENCY_NS = 1_000


class Ends(NamedTuple):
    left_ns: int
    taken_in_ns: int


def there(*ways: Way, sharing: str = "fair", links: dict[str, LinkSpec] | None = None) -> list[int]:
    """When each message is there, as sender and receiver find out, each from its own lane alone."""

    def link(node: str) -> LinkSpec:
        spec = (links or {}).get(node, make_link())
        return spec.model_copy(update={"sharing": sharing})

    async def job(clock: VirtualClock) -> list[int]:
        nodes = dict.fromkeys(name for way in ways for name in way[:2])
        egress = {name: Lane(link(name), clock) for name in nodes}
        ingress = {name: Lane(link(name), clock) for name in nodes}
        left, taken_in = [0] * len(ways), [0] * len(ways)

        async def send(i: int, source: str, to: str, at_ns: int, num_bytes: int) -> None:
            await clock.wait_until(at_ns)
            first_ns = egress[source].begins_ns(at_ns) + LATENCY_NS
            egress[source].start(at_ns, num_bytes, lambda end_ns: left.__setitem__(i, end_ns))
            await clock.wait_until(first_ns)
            limit = link(source).bytes_per_s
            took = lambda end_ns: taken_in.__setitem__(i, end_ns)  # noqa: E731
            ingress[to].start(first_ns, num_bytes, took, limit)

        tasks = [clock.start(send(i, *way), str(i)) for i, way in enumerate(ways)]
        for task in tasks:
            await task
        await clock.wait_until(10**9)
        return [max(a + LATENCY_NS, b) for a, b in zip(left, taken_in, strict=True)]

    return run_alone(job)


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_alone_a_message_takes_latency_plus_bytes_over_bandwidth(sharing: str) -> None:
    assert there(("a", "b", 500, 3_000), sharing=sharing) == [500 + 1_000 + 3_000]


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_the_slower_end_decides(sharing: str) -> None:
    slow = {"b": make_link(bytes_per_s=10**8)}
    assert there(("a", "b", 0, 100), sharing=sharing, links=slow) == [1_000 + 1_000]
    assert there(("b", "a", 0, 100), sharing=sharing, links=slow) == [1_000 + 1_000]


def test_eight_senders_into_one_receiver_take_eight_times_as_long() -> None:
    ways = [(f"chip-{i}", "shard", 0, 2_000) for i in range(8)]
    assert there(*ways) == [1_000 + 8 * 2_000] * 8
    in_order = there(*ways, sharing="fifo")
    assert in_order == [1_000 + i * 2_000 for i in range(1, 9)], "the last one as late as all"


def test_one_egress_is_shared_by_what_goes_to_different_receivers() -> None:
    """Half speed each until the small one has its 300, at 600; then the big one alone."""
    assert there(("a", "b", 0, 2_000), ("a", "c", 0, 300)) == [1_000 + 2_300, 1_000 + 600]


def test_a_small_message_does_not_wait_for_a_big_one() -> None:
    """64 bytes take 128 ns beside 1 MB; in order they would come after all of it."""
    ways = (("a", "c", 0, 1_000_000), ("b", "c", 500_000, 64))
    assert there(*ways)[1] == 500_000 + 1_000 + 128
    assert there(*ways, sharing="fifo")[1] == 1_000 + 1_000_000 + 64


def test_a_slow_sender_leaves_the_receiver_to_others() -> None:
    """A tenth of the ingress for the slow one, the rest for the other, whatever came first."""
    slow = {"slow": make_link(bytes_per_s=10**8)}
    ways = (("slow", "c", 0, 1_000), ("fast", "c", 0, 9_000))
    assert there(*ways, links=slow) == [11_000, 11_000]


def test_both_directions_at_once_do_not_meet() -> None:
    assert there(("a", "b", 0, 2_000), ("b", "a", 0, 2_000)) == [3_000, 3_000]


def lane_job(plan: Sequence[tuple[int, int]], leaves: tuple[int, int]) -> tuple[dict, int]:
    """Flows (at, bytes) on one fair lane; the one with number leaves[0] leaves at leaves[1]."""

    async def job(clock: VirtualClock) -> tuple[dict, int]:
        lane = Lane(make_link().model_copy(update={"sharing": "fair"}), clock)
        ends: dict[int, int] = {}
        flows = []
        for i, (at_ns, num_bytes) in enumerate(plan):
            await clock.wait_until(at_ns)
            ended = lambda end_ns, i=i: ends.update({i: end_ns})  # noqa: E731
            flows.append(lane.start(at_ns, num_bytes, ended))
        await clock.wait_until(leaves[1])
        lane.leave(leaves[1], flows[leaves[0]])
        await clock.wait_until(10**6)
        return ends, lane.busy_ns(10**6)

    return run_alone(job)


def test_who_leaves_lets_the_others_speed_up() -> None:
    """Three of 900 at a third each until 300; then two at a half: 800 left each, until 1900."""
    ends, busy_ns = lane_job([(0, 900)] * 3, leaves=(1, 300))
    assert ends == {0: 1_900, 2: 1_900}
    assert busy_ns == 1_900, "what had moved of the one that left has moved"


def test_to_leave_after_the_end_changes_nothing() -> None:
    assert lane_job([(0, 500)], leaves=(0, 700)) == ({0: 500}, 500)


def test_in_order_nothing_can_leave() -> None:
    lane, ends = Lane(make_link(sharing="fifo"), VirtualClock()), list[int]()
    flow = lane.start(0, 500, ends.append)
    lane.leave(100, flow)
    lane.start(100, 500, ends.append)
    assert ends == [500, 1_000]
    assert lane.begins_ns(200) == 1_000 and lane.busy_ns(200) == 200

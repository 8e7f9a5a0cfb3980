"""Lanes reckoned by hand: 1 byte a ns, 1 us on the way, unless a test says otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.device import Sharing
from configs.schema.link import LinkSpec
from tests.workers.bench import make_link, run_alone
from workers.hardware.sharing.fair import Fair, FairFlow, grains
from workers.host.clock.virtual import VirtualClock
from workers.wire.kinds.left import NOT_KNOWN_NS
from workers.wire.lane import Lane, lane_of, make_lane

Way = tuple[str, str, int, int]  # from, to, at, bytes
LATENCY_NS = 1_000


class Ends(NamedTuple):
    left_ns: int
    taken_in_ns: int


@dataclass(slots=True)
class Notes:
    """A traveller that writes its end into a list."""

    ends: list[int]
    index: int

    def took_back(self) -> None:
        self.ends[self.index] = NOT_KNOWN_NS

    def ended(self, end_ns: int) -> None:
        assert self.ends[self.index] == NOT_KNOWN_NS, "told once, and not beside a promise"
        self.ends[self.index] = end_ns


def start(
    lane: Lane, now_ns: int, num_bytes: int, ends: list[int], index: int, limit: int = 0
) -> int:
    begin_ns, ends[index] = lane.start(now_ns, num_bytes, Notes(ends, index), limit)
    return begin_ns


def there(*ways: Way, sharing: str = "fair", links: dict[str, LinkSpec] | None = None) -> list[int]:
    """When each message is there, as sender and receiver find out, each from its own lane alone."""

    def link(node: str) -> LinkSpec:
        spec = (links or {}).get(node, make_link())
        return spec.model_copy(update={"sharing": sharing})

    async def job(clock: VirtualClock) -> list[int]:
        nodes = dict.fromkeys(name for way in ways for name in way[:2])
        egress = {name: make_lane(link(name), clock) for name in nodes}
        ingress = {name: make_lane(link(name), clock) for name in nodes}
        left, taken_in = [0] * len(ways), [0] * len(ways)

        async def send(i: int, source: str, to: str, at_ns: int, num_bytes: int) -> None:
            await clock.wait_until(at_ns)
            first_ns = start(egress[source], at_ns, num_bytes, left, i) + LATENCY_NS
            await clock.wait_until(first_ns)
            limit = link(source).bytes_per_s
            start(ingress[to], first_ns, num_bytes, taken_in, i, limit)

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


def ends_of(plan: Sequence[tuple[int, int]], sharing: Sharing = "fair") -> tuple[list[int], int]:
    """Ends of messages (at, bytes) on one lane, and how long it worked."""

    async def job(clock: VirtualClock) -> tuple[list[int], int]:
        lane, ends = make_lane(make_link(sharing=sharing), clock), [NOT_KNOWN_NS] * len(plan)
        for index, (at_ns, num_bytes) in enumerate(plan):
            await clock.wait_until(at_ns)
            start(lane, at_ns, num_bytes, ends, index)
        await clock.wait_until(10**9)
        return ends, lane.busy_ns(10**9)

    return run_alone(job)


def test_a_promise_is_kept_or_taken_back() -> None:
    """Alone until 1000; shared until the second has its 400 at 1800; alone again until 2400."""
    assert ends_of([(0, 2_000), (1_000, 400)]) == ([2_400, 1_800], 2_400)
    assert ends_of([(0, 2_000), (2_000, 400)]) == ([2_000, 2_400], 2_400)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 3_000)), min_size=1, max_size=15))
def test_a_lane_is_a_fair_resource_from_the_first_message_to_the_last(
    plan: list[tuple[int, int]],
) -> None:
    """Promises save work and change no end: the policy alone gives the same."""
    plan.sort()
    fair, ended = Fair(), dict[int, int]()
    flows = [FairFlow(lambda _: None, grains(num_bytes, 10**9)) for _, num_bytes in plan]
    for (at_ns, _), flow in zip(plan, flows, strict=True):
        fair.advance(at_ns)
        fair.join(at_ns, flow)
    fair.advance(10**9)
    ended = {index: flow.end_ns or 0 for index, flow in enumerate(flows)}
    ends, busy_ns = ends_of(plan)
    assert ends == list(ended.values())
    assert busy_ns == sum(num_bytes for _, num_bytes in plan)


def test_in_order_every_promise_is_kept() -> None:
    assert ends_of([(0, 2_000), (1_000, 400)], "fifo") == ([2_000, 2_400], 2_400)


@pytest.mark.parametrize("bytes_per_s", [10**9, 64 * 10**9, 3_000_000_019])
def test_two_at_once_take_twice_as_long_at_any_rate(bytes_per_s: int) -> None:
    """A second's bytes each, so 2 s. Of the last rate, a prime, a byte takes no whole grains: the
    bytes are rounded together, not one by one.
    """

    async def job(clock: VirtualClock) -> list[int]:
        lane, ends = lane_of(bytes_per_s, "fair", clock), [0, 0]
        for index in (0, 1):
            start(lane, 0, bytes_per_s, ends, index)
        await clock.wait_until(3 * 10**9)
        return ends

    assert run_alone(job) == [2 * 10**9] * 2

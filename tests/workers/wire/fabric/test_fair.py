"""Max-min fair shares over whole ways, reckoned by hand."""

import pytest

from tests.workers.wire.fabric.bench import arrivals, bench_of
from workers.wire.rules import Delay, Drop, Duplicate, Pass

pytestmark = pytest.mark.usefixtures("stand")

LINE = [{"from": "n-0", "to": "n-1"}, {"from": "n-1", "to": "n-2"}]


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
@pytest.mark.parametrize(("place", "hops"), [("n-1", 1), ("n-5", 2), ("n-6", 3), ("n-10", 4)])
def test_alone_a_message_takes_its_bytes_once_and_the_latency_of_each_hop(
    sharing: str, place: str, hops: int
) -> None:
    """4 x 4 torus: 1 us of the ends, 100 ns a hop, 30 ns a node that it passes; 3,000 bytes."""
    bench = bench_of(16, type="torus", sharing=sharing, switch_latency="30 ns")
    expected_ns = 500 + 1_000 + hops * 100 + (hops - 1) * 30 + 3_000
    if place == "n-6":  # (1, 2): 1 + 2
        assert hops == 3
    assert arrivals(bench, ("n-0", place, 500, 3_000)) == [("n-0", place, expected_ns)]


def test_three_flows_share_one_inner_hop() -> None:
    """Over left>right, 1 byte a ns, for 600, 900 and 1,500 bytes at once: thirds until 1,800, when
    the first ends; halves until 2,400 (900 - 600 = 300 left at 1,800: 600 ns more); then the last
    has 600 left alone: 3,000. Beside it n-0's second message does not cross the middle: it has
    what its own link leaves, 2/3, until 1,800 (1,200 bytes), and is 1,200 long.
    """
    bench = bench_of(
        7,
        type="given",
        switches=["left", "right"],
        links=[
            *({"from": f"n-{i}", "to": "left"} for i in (0, 1, 2, 6)),
            *({"from": f"n-{i}", "to": "right"} for i in (3, 4, 5)),
            {"from": "left", "to": "right"},
        ],
    )
    latency_ns = 1_000 + 300
    assert arrivals(
        bench,
        ("n-0", "n-3", 0, 600),
        ("n-1", "n-4", 0, 900),
        ("n-2", "n-5", 0, 1_500),
        ("n-0", "n-6", 0, 1_200),
    ) == [
        ("n-0", "n-6", 1_800 + latency_ns - 100),
        ("n-0", "n-3", 1_800 + latency_ns),
        ("n-1", "n-4", 2_400 + latency_ns),
        ("n-2", "n-5", 3_000 + latency_ns),
    ]


def test_what_one_end_cannot_take_the_others_have() -> None:
    """n-0 sends to n-1 and n-2; n-3 sends to n-1 too. At n-1 halves; n-0's other message has the
    other half of n-0. All of 1,000 bytes: 2,000 ns.
    """
    bench = bench_of(4, type="switch")
    sends = ("n-0", "n-1", 0, 1_000), ("n-0", "n-2", 0, 1_000), ("n-3", "n-1", 0, 1_000)
    assert {at for *_, at in arrivals(bench, *sends)} == {3_000}


def test_later_ones_take_their_share_from_when_they_come() -> None:
    """1,000 from 0; at 500 a second of 300 into the same node: halves, it ends at 1,100; the first
    has had 500 + 300 then and ends at 1,300.
    """
    bench = bench_of(3, type="switch")
    assert arrivals(bench, ("n-0", "n-2", 0, 1_000), ("n-1", "n-2", 500, 300)) == [
        ("n-1", "n-2", 2_100),
        ("n-0", "n-2", 2_300),
    ]


def test_a_narrow_switch_is_shared_by_all() -> None:
    """Two pairs that meet nowhere else, through 1 byte a ns in all."""
    bench = bench_of(4, type="switch", switch_bandwidth="1 GB/s")
    sends = ("n-0", "n-1", 0, 1_000), ("n-2", "n-3", 0, 1_000)
    assert {at for *_, at in arrivals(bench, *sends)} == {3_000}


def test_within_a_server_the_own_link_is_not_taken() -> None:
    """Two links of the server's switch at 1 byte a ns, 100 ns each, beside a message over the own
    link that has all of that.
    """
    bench = bench_of(8, type="rail_optimised", server=4)
    assert arrivals(bench, ("n-0", "n-1", 0, 1_000), ("n-0", "n-4", 0, 1_000)) == [
        ("n-0", "n-1", 1_200),
        ("n-0", "n-4", 2_000),
    ]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Pass(), [3_000, 3_000]),
        (Delay(50), [3_000, 3_050]),
        (Drop(), [3_000]),
        (Duplicate(70), [3_000, 3_000]),
    ],
)
def test_rules_act_at_the_far_end(verdict, expected: list[int]) -> None:
    """What is dropped or doubled takes its whole way once: the other message has half of n-2."""

    class Always:
        def judge(self, *_: object):
            return verdict

    bench = bench_of(3, type="switch")
    sends = ("n-0", "n-2", 0, 1_000), ("n-1", "n-2", 0, 1_000)
    seen = arrivals(bench, *sends, rules={"rule": Always()})
    assert sorted(at for *_, at in seen) == expected
    doubled = isinstance(verdict, Duplicate)
    assert bench.trace.num_records == len(expected) + doubled, "the handler runs once"


def test_an_adaptive_way_avoids_who_is_there() -> None:
    """Two leaves of two nodes, two spines. Each pair's first way may be the same spine; adaptive,
    the second message takes the other, and both have a link to themselves.
    """
    sends = ("n-0", "n-2", 0, 1_000), ("n-1", "n-3", 0, 1_000)
    ends = {
        routing: {at for *_, at in arrivals(
            bench_of(4, type="fat_tree", levels=2, arity=4, routing=routing), *sends)}
        for routing in ("deterministic", "adaptive")
    }  # fmt: skip
    assert ends["adaptive"] == {2_200}
    assert ends["deterministic"] in ({2_200}, {3_200})

"""Whose traffic goes first, what a narrowed way takes, and what is counted of it all."""

from dataclasses import dataclass
from typing import Any

import pytest

from cluster.faults.rules import put, take_out
from cluster.faults.written import read_fault
from tests.workers.bench import Bench
from tests.workers.wire.fabric.bench import arrivals, bench_of
from tests.workers.wire.parcel import Parcel
from workers.wire.fabric.traffic import _KNOWN, CLASSES, class_of
from workers.wire.kinds.collectives import Piece
from workers.wire.kinds.experts import Dispatch
from workers.wire.kinds.kv import PoolGet
from workers.wire.kinds.memory import Search
from workers.wire.kinds.near import NearAttend
from workers.wire.kinds.ranks import KvPart, Share
from workers.wire.kinds.shipping import VectorsRead

pytestmark = pytest.mark.usefixtures("stand")


@pytest.fixture
def parcels_of_n0_are_experts(monkeypatch: pytest.MonkeyPatch) -> None:
    """And all others are `rest`: told by their size here, as a parcel is of no class."""
    monkeypatch.setattr(
        "workers.wire.fabric.fabric.class_of", lambda content: 0 if content.charged < 2_000 else 4
    )


def test_classes_follow_the_files_of_kinds() -> None:
    found = {
        kind.__name__: CLASSES[class_of(object.__new__(kind))]
        for kind in (
            Dispatch,
            Piece,
            Share,
            KvPart,
            PoolGet,
            NearAttend,
            Search,
            VectorsRead,
            Parcel,
        )
    }
    assert found == {
        "Dispatch": "experts", "Piece": "collectives", "Share": "collectives", "KvPart": "kv",
        "PoolGet": "kv", "NearAttend": "kv",
        "Search": "retrieval", "VectorsRead": "retrieval", "Parcel": "rest",
    }  # fmt: skip
    assert _KNOWN[Dispatch] == 0


SENDS = ("n-0", "n-2", 0, 1_200), ("n-1", "n-2", 0, 2_000)


@pytest.mark.usefixtures("parcels_of_n0_are_experts")
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, [2_400, 3_200]),
        # 3/4 of n-2: 1,200 at 1,600; the other has had 400.
        ({"priorities": {"experts": 3}}, [1_600, 3_200]),
        # All of n-2 first; then the other.
        ({"priorities": {"experts": 3}, "strict": True}, [1_200, 3_200]),
    ],
)
def test_weights_share_and_strict_goes_first(keys: dict[str, Any], expected: list[int]) -> None:
    bench = bench_of(3, type="switch", **keys)
    assert [at - 1_000 for *_, at in arrivals(bench, *SENDS)] == expected


@pytest.mark.usefixtures("parcels_of_n0_are_experts")
def test_strict_leaves_others_what_is_not_wanted() -> None:
    """n-1's own link also carries 2,000 to n-3, of the same class as its other: halves of what
    n-1 has. While n-0 has all of n-2, n-1 sends to n-3 alone, 1,200 by then; then halves.
    """
    bench = bench_of(4, type="switch", priorities={"experts": 2}, strict=True)
    seen = arrivals(bench, *SENDS, ("n-1", "n-3", 0, 2_000))
    assert {(a, b): at - 1_000 for a, b, at in seen} == {
        ("n-0", "n-2"): 1_200,
        ("n-1", "n-3"): 1_200 + 1_600,
        ("n-1", "n-2"): 1_200 + 1_600 + 1_200,
    }


@dataclass(frozen=True)
class Narrowed:
    bytes_per_s: int
    source: str

    def hits(self, source: str, destination: str, message: object) -> bool:
        return source == self.source


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
@pytest.mark.parametrize("end", ["out", "into"])
def test_what_rules_narrow_is_a_link_more(sharing: str, end: str) -> None:
    """n-0's 1,000 bytes go at a quarter; n-1's, which the rule does not hit, as they would."""
    bench = bench_of(3, type="switch", sharing=sharing)
    narrowed, at = Narrowed(250_000_000, "n-0"), "n-0" if end == "out" else "n-2"
    endpoint = bench.node(at).endpoint
    narrow = endpoint.egress.narrow if end == "out" else endpoint.ingress.narrow
    narrow.rules["rule"] = narrowed
    if end == "into":
        for name in set(bench.nodes) - {at}:
            if (far := bench.node(name).endpoint.far_ends.get(at)) is not None:
                far.rules["rule"] = narrowed
    seen = arrivals(bench, ("n-0", "n-2", 0, 1_000), ("n-1", "n-2", 5_000, 1_000))
    assert seen == [("n-0", "n-2", 5_000), ("n-1", "n-2", 7_000)]


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_both_hands_count_overhead(sharing: str) -> None:
    """40 ns of an own link at 1 byte a ns: 40 bytes more on each of 5 links, beside 700."""
    bench = bench_of(16, {"overhead_ns": 40}, type="torus", sharing=sharing)
    assert arrivals(bench, ("n-0", "n-6", 0, 700)) == [("n-0", "n-6", 740 + 1_300)]
    assert bench.fabric is not None
    counts = bench.fabric.counts()
    assert sum(link.moved_bytes for link in counts.links.values()) == 5 * 740
    assert counts.talk["n-0", "n-6"].byte_hops == 5 * 740
    assert sum(counts.talk["n-0", "n-6"].num_bytes) == 700


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_both_hands_count_the_same(sharing: str) -> None:
    """Three messages in a 4 x 4 torus, over 1, 3 and 2 inner hops and their two own links."""
    bench = bench_of(16, type="torus", sharing=sharing)
    sends = ("n-0", "n-1", 0, 700), ("n-0", "n-6", 10, 1_100), ("n-5", "n-0", 5, 400)
    arrivals(bench, *sends)
    assert bench.fabric is not None
    counts = bench.fabric.counts()
    assert sum(link.moved_bytes for link in counts.links.values()) == 3 * 700 + 5 * 1_100 + 4 * 400
    assert sum(talk.byte_hops for talk in counts.talk.values()) == 3 * 700 + 5 * 1_100 + 4 * 400
    for link in counts.links.values():
        assert sum(link.num_bytes) == link.moved_bytes == link.busy_ns
    assert counts.links["n-0.out"].moved_bytes == 1_800 and counts.links["n-0.out"].peak == 2
    assert counts.talk["n-0", "n-6"].num_bytes == (0, 0, 0, 0, 1_100)
    again = bench.fabric.counts().since(counts)
    assert not any(link.moved_bytes for link in again.links.values())


def test_energy_of_inner_links_is_the_sender_s() -> None:
    """Own link 2 pJ/bit, inner ones 1 pJ/bit: 1,000 bytes over 3 of them: 16 and 24 nJ."""
    bench = bench_of(16, type="torus")
    arrivals(bench, ("n-0", "n-6", 0, 1_000))
    reading = bench.node("n-0").read_energy()
    assert reading is not None
    told = {name: sum(by.values()) for name, by in reading.dynamic.items()}
    assert told == {"link": pytest.approx(16e-9), "network": pytest.approx(24e-9)}
    assert reading.accounts["link"] == pytest.approx(40e-9)
    assert reading.drawn_joules == pytest.approx(40e-9) and reading.open_joules == 0
    other = bench.node("n-6").read_energy()
    assert other is not None and other.accounts["link"] == 0


def test_a_node_that_starts_again_finds_its_links() -> None:
    async def job(bench: Bench) -> list[int]:
        seen: list[int] = []
        node = await bench.restart("n-1")
        node.port("n-1").on(Parcel, lambda m: seen.append(bench.clock.now()))
        await bench.port("n-0").send("n-1", Parcel(charged=500))
        await bench.clock.wait_until(10**6)
        return seen

    assert bench_of(2, type="direct").run(job) == [1_600]


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_what_an_earlier_incarnation_asked_for_is_not_the_next_one_s(sharing: str) -> None:
    """n-0's first one sends 1,000 bytes at 0: busy 1,000 ns. At 400 another stands: 600 ns of that
    are still to come on its link. By 2,000 it has sent 300 itself.
    """

    async def job(bench: Bench) -> list[int]:
        first = bench.node("n-0")
        await bench.port("n-0").send("n-1", Parcel(charged=1_000))
        await bench.clock.wait_until(400)
        node = await bench.restart("n-0")
        told = [node.busy_ns()["link.out"]]
        await bench.clock.wait_until(1_500)
        told.append(node.busy_ns()["link.out"])
        await node.port("n-0").send("n-1", Parcel(charged=300))
        await bench.clock.wait_until(10_000)
        assert first is not node
        return [*told, node.busy_ns()["link.out"]]

    assert bench_of(2, type="direct", sharing=sharing).run(job) == [0, 600, 900]


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_a_bandwidth_fault_narrows_the_way_into_a_node(sharing: str) -> None:
    """As faults put it in on every node: who sends knows it of the node that it sends to, though
    that is another process. Taken out again it is no link any more.
    """
    fault = read_fault(
        {"type": "bandwidth", "destination": "n-2", "attributes": {"rate": "250 MB/s"}}
    )
    sends = ("n-0", "n-2", 0, 1_000), ("n-0", "n-1", 20_000, 1_000)
    for is_out in (False, True):
        bench = bench_of(3, type="switch", sharing=sharing)
        for node in bench.nodes.values():
            put(node.endpoint, "slow", fault, bench.directory, node.rng)
            if is_out:
                take_out(node.endpoint, "slow")
        slow_ns = 1_000 if is_out else 4_000
        assert arrivals(bench, *sends) == [
            ("n-0", "n-2", slow_ns + 1_000),
            ("n-0", "n-1", 22_000),
        ]

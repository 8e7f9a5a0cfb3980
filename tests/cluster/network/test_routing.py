"""Which way a message takes, and what lies on it."""

from itertools import permutations, product

import pytest

from cluster.network.build import Network
from cluster.network.graph import Hop
from tests.cluster.network.laid_out import names, network, num_hops

SHAPES = [
    (16, {"type": "fat_tree"}),
    (9, {"type": "fat_tree", "levels": 2, "arity": 6}),
    (12, {"type": "rail_optimised", "server": 3, "spines": 2}),
    (20, {"type": "dragonfly"}),
    (10, {"type": "dragonfly", "groups": 5, "routers": 2, "hosts": 1, "global_links": 2}),
    (15, {"type": "torus", "dims": [3, 5]}),
    (16, {"type": "torus", "dims": [2, 2, 4]}),
    (7, {"type": "direct"}),
]


def length(laid: Network, hop: Hop) -> int:
    is_global = laid.section.type == "dragonfly" and hop.source[:8] != hop.target[:8]
    return 3 if is_global else 1


def lengths(laid: Network) -> dict[tuple[str, str], int]:
    """Of shortest walks between vertices, by Floyd and Warshall; a dragonfly's global links count
    3, so that local, global, local is less than two of them.
    """
    vertices = [*dict.fromkeys([*laid.graph.ports, *laid.graph.switches])]
    far = {pair: 0 if pair[0] == pair[1] else 10**6 for pair in product(vertices, vertices)}
    far |= {(hop.source, hop.target): length(laid, hop) for hop in laid.graph.hops.values()}
    for by in vertices:
        if by in laid.graph.ports and not laid.graph.forwards:
            continue
        for a, b in far:
            far[a, b] = min(far[a, b], far[a, by] + far[by, b])
    return far


def walk(laid: Network, source: str, target: str) -> list[str]:
    hops = laid.paths(source, target)[0]
    return [hops[0].source, *(hop.target for hop in hops)]


@pytest.mark.parametrize(("num_nodes", "keys"), SHAPES)
@pytest.mark.parametrize("routing", ["deterministic", "adaptive"])
def test_ways_are_the_shortest_that_there_are(num_nodes: int, keys: dict, routing: str) -> None:
    """And walks without a gap, from port to port, none of them twice."""
    laid = network(num_nodes, routing=routing, **keys)
    far = lengths(laid)
    for a, b in permutations(names(num_nodes), 2):
        if laid.graph.servers and laid.graph.servers[a] == laid.graph.servers[b]:
            continue  # theirs is the way within the server
        ends = laid.graph.ports[a], laid.graph.ports[b]
        found = laid.paths(a, b)
        assert len(set(found)) == len(found) >= 1
        assert routing == "adaptive" or len(found) == 1
        for hops in found:
            assert sum(length(laid, hop) for hop in hops) == far[ends]
            at = ends[0]
            for hop in hops:
                assert hop.source == at
                at = hop.target
            assert at == ends[1]


def test_by_dimension_the_shorter_way_round() -> None:
    """4 x 5, node i at (i // 5, i % 5). From (0, 0) to (3, 2): one down the first ring (over its
    end), then two along the second.
    """
    laid = network(20, type="torus", dims=[4, 5])
    assert walk(laid, "n-0", "n-17") == ["n-0", "n-15", "n-16", "n-17"]
    assert walk(laid, "n-17", "n-0") == ["n-17", "n-2", "n-1", "n-0"]
    assert walk(laid, "n-0", "n-10") == ["n-0", "n-5", "n-10"], "as far both ways: up"


def test_other_ways_through_a_torus_turn_the_dimensions() -> None:
    """From (0, 0) to (2, 1) in 4 x 4: two ways round the first ring, before or after the second."""
    laid = network(16, type="torus", routing="adaptive")
    found = [[hop.target for hop in hops] for hops in laid.paths("n-0", "n-9")]
    assert found == [
        ["n-4", "n-8", "n-9"],
        ["n-1", "n-5", "n-9"],
        ["n-12", "n-8", "n-9"],
        ["n-1", "n-13", "n-9"],
    ]


def test_latency_of_a_way_is_that_of_its_links_and_switches() -> None:
    """100 ns a link, 30 ns a switch. A fat tree's longest: 4 links, 5 switches. A torus's of 3
    links passes two nodes. One server's switch. Over spines: 2 links, 3 switches.
    """
    tree = network(16, type="fat_tree", switch_latency="30 ns")
    assert tree.between("n-0", "n-15")[0].latency_ns == 4 * 100 + 5 * 30
    torus = network(16, type="torus", switch_latency="30 ns")
    assert torus.between("n-0", "n-9")[0].latency_ns == 3 * 100 + 2 * 30
    rails = network(8, type="rail_optimised", server=4, switch_latency="30 ns")
    assert rails.between("n-0", "n-3")[0].latency_ns == 2 * 100 + 30
    assert rails.between("n-0", "n-4")[0].latency_ns == 30
    assert rails.between("n-0", "n-5")[0].latency_ns == 2 * 100 + 3 * 30


def test_a_first_byte_is_at_each_link_after_what_lies_before() -> None:
    tree = network(16, type="fat_tree", levels=2, switch_latency="30 ns", switch_bandwidth="9 GB/s")
    assert tree.section.switch_bytes_per_s == 9 * 10**9
    route = tree.between("n-0", "n-15")[0]
    assert len(route.hops) == 5, "leaf, link, spine, link, leaf"
    assert route.waits_ns == (0, 30, 130, 160, 260) and route.latency_ns == 290
    assert route.joules_per_byte == pytest.approx(2 * 8e-12)


def test_nodes_pass_nothing_on_unless_they_are_to() -> None:
    line = [{"from": "n-0", "to": "n-1"}, {"from": "n-1", "to": "n-2"}]
    assert network(3, type="given", links=line).paths("n-0", "n-2") == []
    laid = network(3, type="given", links=line, nodes_forward=True)
    assert num_hops(laid, names(3))["n-0", "n-2"] == 2


@pytest.mark.parametrize(("num_nodes", "keys"), SHAPES)
def test_the_latency_of_a_pair_is_that_of_its_first_way(num_nodes: int, keys: dict) -> None:
    laid = network(num_nodes, switch_latency="30 ns", routing="adaptive", **keys)
    for a, b in permutations(names(num_nodes), 2):
        assert laid.latency_ns(a, b) == laid.between(a, b)[0].latency_ns

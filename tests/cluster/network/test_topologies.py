"""Small topologies counted by hand: links, lengths of ways, and what crosses the middle."""

from collections import Counter

import pytest

from cluster.network.dragonfly import balanced
from cluster.network.errors import TooSmall
from cluster.network.figures import across_bytes_per_s, figures_of
from cluster.network.torus import dims_for
from tests.cluster.network.laid_out import names, network, num_hops

GB = 10**9


def spread(lengths: dict[tuple[str, str], int]) -> Counter:
    """Inner links of a way -> how many ordered pairs have it."""
    return Counter(lengths.values())


def test_one_switch_has_no_inner_link() -> None:
    laid = network(4, type="switch", switch_latency="300 ns")
    assert laid.graph.hops == {} and laid.graph.switches == ("switch",)
    assert laid.between("n-0", "n-3")[0].latency_ns == 300


def test_a_narrow_switch_is_on_every_way() -> None:
    laid = network(4, type="switch", switch_bandwidth="2 GB/s")
    assert laid.between("n-0", "n-3")[0].hops == ("switch",)
    assert laid.rates == {"switch": 2 * GB}


def test_a_fat_tree_of_arity_4() -> None:
    """16 nodes in 4 pods of 2 edge and 2 aggregation switches; 4 cores. 2 x 2 links a pod between
    edge and aggregation, 2 x 2 from aggregation to cores, both ways: 4 x 8 x 2 = 64. Of the others
    a node has 1 at its edge switch (no inner link), 2 in its pod (up, down), 12 beyond (4 links).
    """
    laid = network(16, type="fat_tree")
    assert laid.section.arity is None and len(laid.graph.switches) == 4 * 4 + 4
    assert len(laid.graph.hops) == 64
    lengths = num_hops(laid, names(16))
    assert spread(lengths) == {0: 16, 2: 32, 4: 192}
    assert max(lengths.values()) == 4


def test_half_of_a_fat_tree_talks_to_the_other_half_at_full_speed() -> None:
    """Full bisection: between pods 0, 1 and 2, 3, 8 nodes' worth: each pod has 4 links up."""
    laid = network(16, type="fat_tree")
    assert across_bytes_per_s(laid.graph, names(8), names(16)[8:]) == 8 * GB


def test_a_fat_tree_of_two_levels() -> None:
    """Arity 4: leaves of 2 nodes, 2 spines. 8 nodes: 4 leaves, 4 x 2 x 2 links."""
    laid = network(8, type="fat_tree", levels=2)
    assert len(laid.graph.hops) == 16
    assert spread(num_hops(laid, names(8))) == {0: 8, 2: 48}
    assert across_bytes_per_s(laid.graph, names(4), names(8)[4:]) == 4 * GB


def test_a_fat_tree_of_the_most_ports_that_is_too_small() -> None:
    """128 ports a switch on two levels: 128 x 128 / 2 = 8,192 nodes; on three 128^3 / 4."""
    with pytest.raises(TooSmall, match="8192 ports, and the cluster has 8193 nodes: levels: 3"):
        network(8_193, type="fat_tree", levels=2)


def test_pairs_spread_over_a_fat_tree_s_cores() -> None:
    """Up and down hashed by pair: 12 ways out of each pod, 4 cores; none is left out."""
    laid = network(16, type="fat_tree")
    cores = Counter(
        hop.target
        for b in names(16)[4:]
        for hop in laid.paths("n-0", b)[0]
        if hop.target.startswith("core")
    )
    assert sum(cores.values()) == 12 and len(cores) == 4


def test_rails() -> None:
    """Servers of 4: number r of each is on rail r. In the server two links of it; on the rail none,
    only its switch; else up and down by a spine. Of 7 others: 3, 1 and 3.
    """
    laid = network(8, type="rail_optimised", server=4)
    lengths = num_hops(laid, names(8))
    assert lengths["n-0", "n-3"] == 2 and lengths["n-0", "n-4"] == 0
    assert [hop.name for hop in laid.paths("n-0", "n-3")[0]] == ["n-0>server-0", "server-0>n-3"]
    assert [hop.name for hop in laid.paths("n-0", "n-5")[0]] == ["rail-0>spine-0", "spine-0>rail-1"]
    assert spread(lengths) == {0: 8, 2: 48}
    assert not laid.between("n-0", "n-3")[0].by_own_links
    assert laid.between("n-0", "n-4")[0].by_own_links


def test_the_smallest_balanced_dragonfly() -> None:
    """h = 1: p = 1, a = 2, g = 3: 6 routers with a node each. 2 links in each of 3 groups and 2
    from each group to others: 6 + 6. From n-0 (router 0-0): its group's other router is 1 away;
    its global port goes to the next group, to whose last router (port 1): n-3, 1 away.
    """
    laid = network(6, type="dragonfly")
    assert (balanced(6).groups, balanced(6).routers, balanced(7).groups) == (3, 2, 9)
    assert len(laid.graph.hops) == 12
    lengths = num_hops(laid, names(6))
    assert {b: lengths["n-0", b] for b in names(6)[1:]} == {
        "n-1": 1, "n-2": 2, "n-3": 1, "n-4": 2, "n-5": 3,
    }  # fmt: skip
    assert max(lengths.values()) == 3, "local, global, local"


def test_every_two_groups_of_a_dragonfly_have_a_link_each_way() -> None:
    """h = 2: 72 nodes, 9 groups of 4 routers; 9 x 8 global links, one for each ordered pair."""
    laid = network(72, type="dragonfly")
    pairs = Counter(
        (hop.source.split("-")[1], hop.target.split("-")[1]) for hop in laid.graph.hops.values()
    )
    among = {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}
    assert len(among) == 72 and set(among.values()) == {1}
    assert all(pairs[str(g), str(g)] == 12 for g in range(9)), "4 x 3 within each"
    assert len(laid.paths("n-0", "n-70")[0]) <= 3


@pytest.mark.parametrize("routing", ["deterministic", "adaptive"])
def test_a_dragonfly_s_ways_cross_one_global_link(routing: str) -> None:
    """Balanced, h = 2, 2 nodes a router. From a node: 1 at its router; 3 x 2 in its group (a local
    link). Its router's own 2 ports lead to 2 groups: 2 x 2 nodes there are global alone, and
    2 x 3 x 2 global, local. 6 groups by another router: 6 x 2 local, global and 6 x 3 x 2 local,
    global, local. By a third group some would be 2 links away, both global: not minimal.
    """
    laid = network(72, type="dragonfly", routing=routing)
    found = Counter[tuple[int, int]]()
    for a in names(72):
        for b in names(72):
            ways = {
                (len(way), sum(hop.source[:8] != hop.target[:8] for hop in way))
                for way in laid.paths(a, b)
            }
            assert len(ways) == 1
            found.update(ways)
    assert found == {
        (0, 0): 72 * 2, (1, 0): 72 * 6, (1, 1): 72 * 4, (2, 1): 72 * (12 + 12), (3, 1): 72 * 36,
    }  # fmt: skip


def test_fewer_groups_have_several_links_between_two() -> None:
    """3 groups of 2 routers with 2 global links: 4 ports for 2 others, two rounds."""
    laid = network(6, type="dragonfly", groups=3, routers=2, hosts=1, global_links=2)
    among = [hop for hop in laid.graph.hops.values() if hop.source.split("-")[1] != hop.target[7:8]]
    assert len(among) == 3 * 4


@pytest.mark.parametrize(
    ("num_nodes", "dims"), [(1, (1, 1)), (4, (2, 2)), (7, (2, 4)), (8, (2, 4)), (16, (4, 4))]
)
def test_a_torus_is_as_square_as_it_can_be(num_nodes: int, dims: tuple[int, int]) -> None:
    assert dims_for(num_nodes) == dims


def test_a_torus_of_4_by_4() -> None:
    """4 links a node. Distances along a ring of 4: 0, 1, 2, 1; sums over both: 1 of 0, 4 of 1,
    6 of 2, 4 of 3, 1 of 4. The middle is crossed by two links of each of 4 rings.
    """
    laid = network(16, type="torus")
    assert len(laid.graph.hops) == 64
    assert spread(num_hops(laid, names(16))) == {1: 64, 2: 96, 3: 64, 4: 16}
    assert across_bytes_per_s(laid.graph, names(8), names(16)[8:]) == 8 * GB


def test_a_torus_of_3_by_3_by_3() -> None:
    """Rings of 3: each other place is 1 away: 6 nodes at 1, 12 at 2, 8 at 3."""
    laid = network(27, type="torus", dims=[3, 3, 3])
    assert len(laid.graph.hops) == 27 * 6
    assert spread(num_hops(laid, names(27))) == {1: 27 * 6, 2: 27 * 12, 3: 27 * 8}


def test_a_ring_of_two_has_one_link_each_way() -> None:
    laid = network(4, type="torus", dims=[2, 2])
    assert len(laid.graph.hops) == 8
    assert spread(num_hops(laid, names(4))) == {1: 8, 2: 4}


def test_direct_is_one_link_away_from_everybody() -> None:
    laid = network(5, type="direct")
    assert spread(num_hops(laid, names(5))) == {1: 20}
    assert across_bytes_per_s(laid.graph, names(2), names(5)[2:]) == 2 * 3 * GB


def test_given_by_groups_and_names() -> None:
    """Two switches with a slow link between them; a group's link is one of each of its nodes."""
    laid = network(
        4,
        type="given",
        switches=["left", "right"],
        links=[
            {"from": "n-0", "to": "left"},
            {"from": "n-1", "to": "left", "bandwidth": "500 MB/s"},
            {"from": "n", "to": "right"},
            {"from": "left", "to": "right", "latency": "7 us"},
        ],
    )
    assert spread(num_hops(laid, names(4))) == {2: 12}
    assert laid.rates["n-1>left"] == laid.rates["left>n-1"] == GB // 2
    assert laid.graph.hops["left>right"].latency_ns == 7_000


def test_figures_of_a_dragonfly_s_middle() -> None:
    """6 routers with a node each, 3 groups: n-0 to n-2 are group 0 and half of group 1. What leaves
    them: group 0's two global links, to n-3 and to n-4; n-2's link to n-3, and its global one to
    n-5.
    """
    laid = network(6, type="dragonfly")
    left = set(names(3))
    ports = {vertex: node for node, vertex in laid.graph.ports.items()}
    crossing = sum(
        ports[hop.source] in left and ports[hop.target] not in left
        for hop in laid.graph.hops.values()
    )
    assert across_bytes_per_s(laid.graph, names(3), names(6)[3:]) == crossing * GB == 4 * GB


def test_figures_of_a_torus() -> None:
    """Mean over pairs: (64 x 1 + 96 x 2 + 64 x 3 + 16 x 4) / 240 = 512 / 240."""
    told = figures_of(network(16, type="torus", switch_latency="30 ns"))
    assert told.most_hops == 4 and told.mean_hops == pytest.approx(512 / 240)
    assert (told.least_ns, told.most_ns) == (100, 4 * 100 + 3 * 30)
    assert told.across_bytes_per_s == 8 * GB and told.num_hops == 64 and told.num_switches == 0


def test_one_switch_has_no_narrow_middle() -> None:
    told = figures_of(network(4, type="switch", switch_latency="300 ns"))
    assert told.across_bytes_per_s is None and told.most_hops == 0 and told.least_ns == 300
    narrow = figures_of(network(4, type="switch", switch_bandwidth="2 GB/s"))
    assert narrow.across_bytes_per_s == 2 * GB

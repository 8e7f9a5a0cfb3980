"""Networks that cannot be are refused with the numbers, and what would do."""

from typing import Any

import pytest

from cluster.worlds.blueprint import Blueprint
from configs.schema import ScenarioError, load_scenario

NODES = "the cluster has 11 nodes"


def drawn(network: Any, **changes: Any) -> Blueprint:
    """The demo's 11 nodes with this network."""
    scenario = load_scenario("demo", {"cluster.network": network, **changes})
    return Blueprint.draw(scenario, needs_weights=False)


LINK = {"link": "lowlat-2us"}


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"type": "switch", "ports": 8}, f"is 8: that makes 8 ports, and {NODES}: ports: 11"),
        ({"type": "fat_tree", "arity": 2, **LINK}, "a tree of 3 levels with 2 ports, and the "
         "cluster has 11 nodes: arity: 4 would do"),
        ({"type": "fat_tree", "levels": 2, "arity": 4, **LINK}, "arity: 6 would do"),
        ({"type": "torus", "dims": [2, 4], **LINK}, "dims: is [2, 4]: that makes 8 places, and the "
         "cluster has 11 nodes: dims: [3, 4] would do"),
        ({"type": "dragonfly", "groups": 2, "routers": 2, "hosts": 1, **LINK}, "4 ports (2 groups "
         "x 2 routers x 1 hosts)"),
        ({"type": "dragonfly", "groups": 9, "routers": 2, "hosts": 1, "global_links": 1, **LINK},
         "at most 3 groups, or global_links: 4"),
        ({"type": "given", "switches": ["s"], "links": [{"from": "decode", "to": "s"}], **LINK},
         "nothing leads from router to gateway, and from 108 of 110 pairs of nodes"),
        ({"type": "given", "switches": ["s"], "links": [{"from": "decod", "to": "s"}], **LINK},
         "links.0.from: no switch, node or group is called 'decod': did you mean"),
        ({"type": "given", "switches": ["decode"], "links": [{"from": "decode", "to": "router"}],
          **LINK}, "switches.0: 'decode' is a node or a group"),
        ({"type": "given", "switches": ["s"], "links": [{"from": "decode", "to": "s"}, {"from": "s",
          "to": "s"}], **LINK}, "links.1: leads from s to itself"),
        ({"type": "torus", "dims": [1024, 1024, 1024], **LINK}, "that makes 6,442,450,944 links, "
         "one way each, and there can be 1,048,576: dims: [3, 4] would do"),
        ({"type": "dragonfly", "groups": 4096, "routers": 1024, "global_links": 4, **LINK},
         "groups: is 4096, of 1024 routers each: at most 1,048,576 routers"),
        ({"type": "dragonfly", "groups": 64, "routers": 1024, "global_links": 4, **LINK},
         "type: its sizes make more than 1,048,576 links"),
        ({"type": "switch", "switch_bandwidth": "2 PB/s"}, "switch_bandwidth: is 2000000000000000"
         " B/s: links that are shared fairly over a network have at most 1 PB/s"),
        ({"type": "direct", "link": {"base": "lowlat-2us", "bandwidth": "1001 TB/s"}},
         "cluster.network.link.bandwidth: is 1001000000000000 B/s"),
        ({"type": "switch", "sharing": "fifo"}, "link.sharing: is 'fair', and cluster.network."
         "sharing is 'fifo'"),
    ],
)  # fmt: skip
def test_refused_before_anything_starts(network: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        drawn(network)
    assert words in str(refused.value)
    assert "cluster.network" in str(refused.value)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"type": "torus", **LINK, "arity": 4}, "arity is given, which says nothing of a torus"),
        ({"type": "torus"}, "link is missing: a torus has inner links"),
        ({"type": "torus", "dims": [8], **LINK}, "dims is [8]: a torus has two or three"),
        ({"type": "switch", **LINK}, "one switch has no inner links"),
        ({"type": "fat_tree", "arity": 5, **LINK}, "arity is 5"),
        ({"type": "rail_optimised", **LINK}, "server is missing"),
        ({"type": "given", **LINK}, "links is missing"),
        ({"type": "switch", "sharing": "fifo", "strict": True}, "strict is true and sharing fifo"),
        ({"type": "switch", "sharing": "fifo", "priorities": {"kv": 2}}, "priorities are given"),
        ({"type": "switch", "priorities": {"tokens": 2}}, "cluster.network.priorities"),
        ({"type": "mesh", **LINK}, "cluster.network.type"),
        ({"type": "switch", "port": 4}, "there is no key 'port' here"),
    ],
)
def test_refused_when_it_is_read(network: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario("demo", {"cluster.network": network})
    assert words in str(refused.value)


def test_nothing_crosses_it_without_emulation() -> None:
    with pytest.raises(ScenarioError, match=r"cluster\.emulation is off"):
        drawn({"type": "switch"}, **{"cluster.world": "process", "cluster.emulation": False})


def test_a_switch_that_goes_by_a_node_s_name() -> None:
    """`switch` is what the one switch is called."""
    group = {"workers": ["memory"], "count": None, "device": "pnm-cxl", "link": "cxl"}
    scenario = load_scenario(
        "demo",
        {"cluster.nodes.leaf": {**group, "count": 2}, "cluster.network":
         {"type": "fat_tree", "levels": 2, **LINK}},
    )  # fmt: skip
    with pytest.raises(ScenarioError, match="has a switch 'leaf-0', and so is a node called"):
        Blueprint.draw(scenario, needs_weights=False)


def test_a_place_of_a_torus_that_goes_by_a_node_s_name() -> None:
    """15 nodes on 4 x 4: the last place is (3, 3), `place-3-3`, and so is the group's last node."""
    group = {"workers": ["memory"], "count": 4, "device": "pnm-cxl", "link": "cxl"}
    changes = {"cluster.nodes.place-3": group}
    with pytest.raises(ScenarioError, match="has a place 'place-3-3', and so is a node called"):
        drawn({"type": "torus", "dims": [4, 4], **LINK}, **changes)


def test_an_own_link_that_is_too_wide() -> None:
    changes = {"cluster.nodes.decode.link.bandwidth": "2 PB/s"}
    with pytest.raises(ScenarioError, match=r"cluster\.nodes\.decode\.link\.bandwidth: is 2000"):
        drawn({"type": "switch"}, **changes)

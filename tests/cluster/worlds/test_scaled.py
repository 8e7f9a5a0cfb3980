"""A cluster with other counts, planned anew: what cannot be is refused, and why."""

from collections.abc import Mapping

import pytest

from cluster.worlds.scaling import added, by_steps, counts_of, scaled
from configs.schema import ScenarioError
from tests.cluster.worlds.cluster import blueprint


def test_first_come_those_that_come_then_go_those_that_go() -> None:
    now = blueprint()
    grown, after = by_steps(now, {"decode": 1, "prefill": 3})
    groups = ("decode", "prefill")
    assert counts_of(now, groups) == "decode 2, prefill 1"
    assert counts_of(grown, groups) == "decode 2, prefill 3"
    assert counts_of(after, groups) == "decode 1, prefill 3"
    assert [node.name for node in added(now, grown)] == ["prefill-1", "prefill-2"]
    assert [node.name for node in added(after, grown)] == ["decode-1"]
    assert by_steps(now, {"decode": 2}) == (now, now)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"decod": 3}, "decod: no group of nodes is called so: did you mean 'decode'?"),
        ({"experts": 3}, "experts: has expert shards, .* needs replicas of shards: groups of"),
        ({"router": 2}, "router: has the router, of which there is one: groups of chips alone can"),
        ({"gateway": 2}, "gateway: has the gateway"),
        ({"hbf": 2}, "hbf: has memory servers"),
        ({"decode": 0}, "decode: is to be 0: it must be 1 to 10,000.* at least one decode chip"),
        ({"decode": -1}, "decode: is to be -1"),
        ({"decode": 10_001}, "decode: is to be 10001"),
    ],
)
def test_what_cannot_be_scaled_is_refused(counts: Mapping[str, int], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        by_steps(blueprint(), counts)


def test_of_two_groups_with_a_role_only_the_last_is_scaled() -> None:
    """Workers are counted over the whole cluster, and nobody may be called otherwise."""
    nodes = blueprint().scenario.cluster.nodes
    more = {"workers": ["decode"], "device": "h100-sxm", "link": "lowlat-2us", "count": 1}
    two = blueprint({"cluster.nodes.later": more})
    assert list(two.scenario.cluster.nodes) == [*nodes, "later"]
    assert scaled(two, {"later": 3}).plan.names("decode")[-1] == "decode-4"
    with pytest.raises(ScenarioError, match=r"later: .* decode-2 on later-0 would be decode-3"):
        scaled(two, {"decode": 3})


def test_a_fault_that_names_a_node_keeps_it() -> None:
    fault = {"type": "partition", "source": "decode-1", "destination": "router", "toxicity": 0}
    with pytest.raises(ScenarioError, match="no node or worker is called 'decode-1'"):
        scaled(blueprint({"faults": [fault]}), {"decode": 1})

"""What further nodes ask of machines on which a cluster stands, and which of them have it."""

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.worlds.machines.bundles import (
    Bundle,
    Room,
    emptiest,
    machines_for,
    more_problems,
    placement_of,
)
from cluster.worlds.scaling import added, scaled
from tests.cluster.worlds.machines.test_bundles import drawn, room

HOSTS = {"id1": room("h1"), "id2": room("h2"), "id3": room("h3")}
WHERE = {"decode-0": "id1", "decode-1": "id2", "prefill-0": "id3", "router": "id3"}


def refused(count: int, rooms: Mapping[str, Room] = HOSTS, **machines: Any) -> list[str]:
    """For that many decode chips, of which two stand."""
    stands = drawn(**machines)
    grown = scaled(stands, {"decode": count})
    cluster, plan = grown.scenario.cluster, grown.plan
    return more_problems(cluster, plan, added(stands, grown), rooms, WHERE)


def test_each_has_a_placement_group_of_its_own_under_a_name_that_nobody_had() -> None:
    grown = scaled(drawn(decode__cpus=2, decode__labels={"zone": "a"}), {"decode": 4})
    node = grown.plan.node("decode-3")
    placed = placement_of(grown.scenario.cluster, node, 5)
    assert placed.name == "added/decode-3/5"
    (bundle,) = placed.bundles
    assert (bundle.node, dict(bundle.takes), dict(bundle.labels)) == (
        "decode-3", {"CPU": 2}, {"zone": "a"},
    )  # fmt: skip
    assert placed.name != placement_of(grown.scenario.cluster, node, 6).name


def test_what_fits_is_let_through() -> None:
    assert refused(5, decode__cpus=2) == []
    assert refused(3, decode__spread=True) == []
    assert refused(2, decode__cpus=99) == [], "nobody comes"


def test_only_what_comes_is_counted() -> None:
    """Machines that are full of the cluster itself have room for none, or for a few."""
    full = {"id1": room("h1", 0.01), "id2": room("h2", 0), "id3": room("h3", 0.01)}
    assert refused(4, full) == []
    (problem,) = refused(5, full)
    assert problem.startswith(
        "cluster.nodes.decode.machines.cpus: the new nodes together take 0.03 of CPU, and free are "
        "0.02"
    )


@pytest.mark.parametrize(
    ("count", "machines", "said"),
    [
        (
            4,
            {"decode__spread": True},
            "cluster.nodes.decode.machines.spread: each node has a machine of its own, and 1 "
            "machine could hold one more (h3): scale decode to 3 at most (a cluster stays on",
        ),
        (
            3,
            {"decode__spread": True, "decode__cpus": 3},
            "cluster.nodes.decode.machines.spread: each node has a machine of its own, and no "
            "machine of the cluster could hold one more",
        ),
        (
            3,
            {"decode__cpus": 3},
            "cluster.nodes.decode.machines.cpus: each node takes 3 of CPU, and the most is on h1",
        ),
        (
            3,
            {"decode__labels": {"zone": "a"}},
            "cluster.nodes.decode.machines.labels.zone: is 'a', and no machine is labelled so",
        ),
    ],
)
def test_what_cannot_be_is_named(count: int, machines: dict[str, Any], said: str) -> None:
    (problem,) = refused(count, **machines)
    assert problem.startswith(said)


def test_whoever_is_spread_stands_where_no_other_of_its_group_does() -> None:
    for spread, allowed in ((True, ["id3"]), (False, list(HOSTS))):
        grown = scaled(drawn(decode__spread=spread), {"decode": 3})
        cluster, plan = grown.scenario.cluster, grown.plan
        assert machines_for(cluster, plan, plan.node("decode-2"), HOSTS, WHERE) == allowed


def test_where_the_fewest_stand_and_there_is_room() -> None:
    one = Bundle("decode-2", {"CPU": 1}, {})
    assert emptiest(one, list(HOSTS), HOSTS, WHERE) == ["id1", "id2"]
    assert emptiest(one, ["id1", "id3"], HOSTS, WHERE) == ["id1"]
    full = {**HOSTS, "id1": room("h1", 0.5)}
    assert emptiest(one, list(HOSTS), full, WHERE) == ["id2"]
    assert emptiest(Bundle("x", {"CPU": 9}, {}), ["id3"], HOSTS, WHERE) == ["id3"], "Ray will say"


def test_room_that_one_takes_is_no_other_s() -> None:
    bundle = Bundle("decode-2", {"CPU": 2.0}, {})
    one = Room("h1", {"CPU": 3.0, "memory": 5.0}, {})
    assert one.holds(bundle) and one.less(bundle).free == {"CPU": 1.0, "memory": 5.0}
    assert not one.less(bundle).holds(bundle)


def test_sums_of_floats_take_no_room() -> None:
    bundle, one = Bundle("x", {"CPU": 0.1}, {}), Room("h1", {"CPU": 0.3}, {})
    for _ in range(3):
        assert one.holds(bundle)
        one = one.less(bundle)
    assert not one.holds(bundle)

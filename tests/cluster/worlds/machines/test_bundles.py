"""What a cluster asks of machines, and which of them have it."""

from typing import Any

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.machines.bundles import Room, placements_of, room_problems
from configs.schema import load_scenario


def drawn(**machines: Any) -> Blueprint:
    """The demo with these keys: cluster.nodes.GROUP.machines.KEY, as GROUP__KEY."""
    changes = {
        f"cluster.nodes.{name.replace('__', '.machines.')}": value
        for name, value in machines.items()
    }
    return Blueprint.draw(load_scenario("demo", {"cluster.world": "ray", **changes}))


def refused(blueprint: Blueprint, *rooms: Room) -> list[str]:
    return room_problems(blueprint.scenario.cluster, blueprint.plan, rooms)


def room(host: str, cpus: float = 2, labels: dict[str, str] | None = None, **more: float) -> Room:
    return Room(host, {"CPU": cpus, "memory": 1e9, **more}, labels or {})


def test_all_may_share_machines_where_nobody_says_otherwise() -> None:
    blueprint = drawn()
    (shared,) = placements_of(blueprint.scenario.cluster, blueprint.plan)
    assert (shared.name, shared.strategy, len(shared.bundles)) == ("nodes", "SPREAD", 11)
    assert [bundle.node for bundle in shared.bundles][:4] == [
        "router", "gateway", "prefill-0", "decode-0",
    ]  # fmt: skip
    assert all(bundle.takes == {"CPU": 0.01} for bundle in shared.bundles)


def test_a_group_that_is_spread_has_a_placement_group_of_its_own() -> None:
    blueprint = drawn(experts__spread=True, experts__cpus=0.5, decode__labels={"zone": "a"})
    experts, shared = placements_of(blueprint.scenario.cluster, blueprint.plan)
    assert (experts.name, experts.strategy) == ("experts", "STRICT_SPREAD")
    assert [bundle.takes for bundle in experts.bundles] == [{"CPU": 0.5}] * 4
    assert len(shared.bundles) == 7
    assert [dict(b.labels) for b in shared.bundles if b.node.startswith("decode")] == [
        {"zone": "a"}, {"zone": "a"},
    ]  # fmt: skip


def test_what_fits_is_let_through() -> None:
    blueprint = drawn(experts__spread=True, decode__resources={"gpu": 1})
    hosts = [room(f"h{number}", gpu=1) for number in range(4)]
    assert refused(blueprint, *hosts) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"experts__spread": True},
            "cluster.nodes.experts.machines.spread: asks for a machine for each of 4 nodes, and 2 "
            "machines could hold one (h1, h2)",
        ),
        (
            {"prefill__cpus": 3},
            "cluster.nodes.prefill.machines.cpus: each node takes 3 of CPU, and the most is on h1, "
            "with 2 free",
        ),
        (
            {"decode__memory": "2 GB"},
            "cluster.nodes.decode.machines.memory: each node takes 2 GB of memory",
        ),
        (
            {"decode__resources": {"gpu": 1}},
            "cluster.nodes.decode.machines.resources.gpu: each node takes 1 of gpu",
        ),
        (
            {"experts__labels": {"zone": "c"}},
            "cluster.nodes.experts.machines.labels.zone: is 'c', and no machine is labelled so: "
            "others have a, b",
        ),
        (
            {"experts__cpus": 1.5},
            "cluster.nodes.router.machines.cpus: all nodes together take 6.07 of CPU, and free are "
            "4 (h1 2, h2 2)",
        ),
    ],
)
def test_what_cannot_be_is_named_with_host_and_key(asked: dict[str, Any], said: str) -> None:
    hosts = room("h1", labels={"zone": "a"}), room("h2", labels={"zone": "b"})
    (problem,) = refused(drawn(**asked), *hosts)
    assert problem.startswith(said)


def test_a_machine_must_have_all_of_it() -> None:
    """One has the processors, the other the label."""
    blueprint = drawn(experts__labels={"zone": "a"}, experts__cpus=1)
    (problem,) = refused(blueprint, room("h1", 0.5, {"zone": "a"}), room("h2", 8, {"zone": "b"}))
    assert problem.startswith("cluster.nodes.experts.machines: no machine has all of this free")


def test_where_there_is_no_machine_every_group_is_named() -> None:
    problems = refused(drawn())
    assert len(problems) == len(drawn().scenario.cluster.nodes)
    assert all("and there is none, with 0 free" in problem for problem in problems)

"""Scaling a cluster on machines, with seats that only note what they are asked: what it leaves
when a step fails, what it keeps, and whom it tells.
"""

import asyncio

import pytest

from cluster.worlds.machines import scaler as scaler_file
from configs.schema import ScenarioError
from tests.cluster.worlds.machines.noted import Ray, Standing, in_loop
from tests.cluster.worlds.machines.test_bundles import room
from workers.errors import PerfuseError


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    fake = Ray()
    monkeypatch.setattr(scaler_file, "placement_group", fake.make)
    monkeypatch.setattr(scaler_file, "machine_of", fake.machine_of)
    monkeypatch.setattr(scaler_file, "get_placement_group", lambda name: name)
    monkeypatch.setattr(scaler_file, "remove_placement_group", lambda name: fake.groups.pop(name))
    monkeypatch.setattr(scaler_file, "rooms", lambda hosts: {i: room(h) for i, h in hosts.items()})
    monkeypatch.setattr(scaler_file, "LOOK_EVERY_S", 0.0)
    return fake


@in_loop
async def test_more_then_fewer_then_more_again(ray: Ray) -> None:
    one = Standing()
    await one.scaler.scale({"decode": 4})
    assert one.living == ["decode-0/1", "decode-1/1", "decode-2/1", "decode-3/1"]
    assert ray.groups == {
        "perfuse/demo/added/decode-2/1": "in(id2)",
        "perfuse/demo/added/decode-3/1": "in(id2)",
    }
    assert one.steps == ["starting decode-2, decode-3", "decode-2, decode-3 serve"]
    assert one.seats.who("extend") == set(one.seats.nodes), "who is new knows already"
    one.seats.busy = [[], ["decode-3"], ["decode-1", "decode-3"]]
    await one.scaler.scale({"decode": 1})
    assert one.living == ["decode-0/1"] and not ray.groups and not one.seats.added
    assert one.seats.forgotten == ["decode-1", "decode-2", "decode-3"] and not one.seats.busy
    assert one.seats.who("stop") == {"decode-1", "decode-2", "decode-3"}
    assert one.seats.who("part") == set(one.seats.nodes) - {"decode-1"}
    one.seats.forgotten.clear()
    await one.scaler.scale({"decode": 3})
    assert one.living == ["decode-0/1", "decode-1/2", "decode-2/2"]
    assert list(ray.groups) == ["perfuse/demo/added/decode-2/2"], "decode-1's bundle was kept"
    one.mender.end()


@pytest.mark.parametrize(
    ("question", "node"),
    [("listen", "decode-3"), ("build", "decode-2"), ("extend", "experts-1"), ("meet", "router")],
)
@in_loop
async def test_what_fails_half_way_leaves_all_as_it_was(ray: Ray, question: str, node: str) -> None:
    one = Standing()
    before, one.seats.fails = one.seats.setup, {question: node}
    with pytest.raises(PerfuseError, match=f"{node} is gone.*: the cluster serves on, with deco"):
        await one.scaler.scale({"decode": 4})
    assert one.seats.setup is before and not ray.groups
    assert one.living == ["decode-0/1", "decode-1/1"]
    assert one.seats.forgotten == ["decode-2", "decode-3"]
    told = one.seats.asked[-len(one.seats.nodes) + (question == "extend") :]
    assert {asked for _, asked in told} == {"extend"}, "last of all who does not come"
    one.seats.fails.clear()
    one.seats.forgotten.clear()
    await one.scaler.scale({"decode": 3})
    assert [name.partition("/")[0] for name in one.living] == ["decode-0", "decode-1", "decode-2"]
    one.mender.end()


@in_loop
async def test_a_dead_peer_is_not_needed_for_leaving(ray: Ray) -> None:
    one = Standing()
    one.seats.fails = {"part": "experts-1"}
    await one.scaler.scale({"decode": 1})
    assert one.living == ["decode-0/1"]


@in_loop
async def test_a_node_that_is_gone_may_be_scaled_away_and_others_may_come(ray: Ray) -> None:
    one = Standing()
    one.seats.fails = {"pid": "decode-1"}
    await one.mender.lose("decode-1", "its machine is gone")
    one.seats.asked.clear()
    await one.scaler.scale({"decode": 3})
    assert one.living == ["decode-0/1", "decode-2/1"] and list(one.mender.gone) == ["decode-1"]
    assert "decode-1" not in one.seats.who("extend") | one.seats.who("meet")
    await one.scaler.scale({"decode": 1})
    assert one.living == ["decode-0/1"] and not one.mender.gone
    assert one.seats.who("stop") == {"decode-2"}
    one.mender.end()


@in_loop
async def test_a_router_that_is_away_is_waited_for_and_not_asked_before_it_stands(ray: Ray) -> None:
    one = Standing()
    router = next(member for member in one.mender.members if member.node == "router")
    await one.mender.lose("router", "it was killed")
    leaves = asyncio.get_running_loop().create_task(one.scaler.scale({"decode": 1}))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not one.seats.who("drain") and not leaves.done()
    one.mender.members.append(router)
    one.mender.gone.clear()
    await leaves
    assert one.seats.who("drain") == {"router"} and one.living == ["decode-0/1"]


@in_loop
async def test_a_router_that_stays_away_is_not_waited_for(ray: Ray) -> None:
    one = Standing(restarts=0)
    await one.mender.lose("router", "it was killed")
    with pytest.raises(PerfuseError, match="router is gone: the cluster serves on, with decode 2"):
        await one.scaler.scale({"decode": 1})
    assert one.living == ["decode-0/1", "decode-1/1"]


@in_loop
async def test_one_at_a_time(ray: Ray) -> None:
    one = Standing()
    one.seats.busy = [["decode-1"]] * 1_000
    first = asyncio.get_running_loop().create_task(one.scaler.scale({"decode": 1}))
    while "drain" not in [question for _, question in one.seats.asked]:
        await asyncio.sleep(0)
    assert one.scaler.note("decode-1") == "drains" and not one.scaler.note("decode-0")
    with pytest.raises(ValueError, match="the cluster is being scaled"):
        await one.scaler.scale({"decode": 4})
    await one.scaler.end()
    with pytest.raises(ValueError, match="the cluster ends"):
        await first
    assert one.living == ["decode-0/1", "decode-1/1"] and not one.scaler.note("decode-1")


@in_loop
async def test_what_is_refused_changes_nothing(ray: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Standing()
    with pytest.raises(ScenarioError, match="experts: has expert shards"):
        await one.scaler.scale({"experts": 5})
    monkeypatch.setattr(scaler_file, "rooms", lambda hosts: {"id1": room("h1", 0)})
    with pytest.raises(ScenarioError, match=r"cannot be scaled so:\n  cluster\.nodes\.decode\.mac"):
        await one.scaler.scale({"decode": 3})
    assert not one.seats.asked and not ray.groups


@in_loop
async def test_a_node_that_was_removed_is_not_brought_back(ray: Ray) -> None:
    one = Standing()
    await one.scaler.scale({"decode": 1})
    asked = list(one.seats.asked)
    await one.mender.lose("decode-1", "its process ended")
    assert not one.mender.gone and await one.mender.bring_back("decode-1")
    assert one.seats.asked == asked and one.living == ["decode-0/1"]

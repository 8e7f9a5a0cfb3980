"""Faults that come and go while a cluster runs in virtual time: everywhere or nowhere."""

from typing import Any

import pytest

from cluster.faults.control import FaultControl
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask_all, blueprint, prompt, request, run, settle
from workers.errors import InvalidRequest, NotFound
from workers.host.trace import Delivered

LATE = {"type": "latency", "kind": "dispatch", "attributes": {"latency": "50 us"}}
DROP = {"type": "drop", "toxicity": 0.0, "name": "quiet"}
NARROW = {"type": "bandwidth", "kind": "dispatch", "attributes": {"rate": "1 GB/s"}}


def control(world: VirtualWorld) -> FaultControl:
    found = world.crews[world.gateway.name].faults
    assert found is not None
    return found


def stands(world: VirtualWorld) -> dict[str, set[str]]:
    """Node -> names of the faults that its messages meet, on any lane."""
    found = {}
    for name, node in world.nodes.items():
        out, into = node.endpoint.egress.narrow, node.endpoint.ingress.narrow
        found[name] = {*node.endpoint.rules, *out.rules, *into.rules, *into.far}
    return found


def everywhere(world: VirtualWorld, *names: str) -> None:
    assert all(found == set(names) for found in stands(world).values())


async def tokens(world: VirtualWorld, name: str) -> list[list[int]]:
    wanted = [request(f"{name}{i}", prompt_ids=prompt(i), max_tokens=6) for i in range(3)]
    heard = await ask_all(world, wanted)
    assert [one.code for one in heard] == [""] * 3
    return [one.tokens for one in heard]


async def took_ns(world: VirtualWorld, name: str) -> tuple[int, list[list[int]]]:
    begun_ns = world.clock.now()
    told = await tokens(world, name)
    return world.clock.now() - begun_ns, told


def test_a_fault_stands_at_once_and_is_gone_at_once_and_changes_no_token() -> None:
    async def job(world: VirtualWorld) -> None:
        free_ns, right = await took_ns(world, "a")
        assert control(world).all() == []
        late = await control(world).add(LATE)
        everywhere(world, "fault-0")
        assert late["name"] == "fault-0" and late["attributes"]["latency"] == "50 us"
        slow_ns, same = await took_ns(world, "b")
        assert same == right and slow_ns > free_ns + 6 * 50_000
        await control(world).add(DROP)
        everywhere(world, "fault-0", "quiet")
        assert [fault["name"] for fault in control(world).all()] == ["fault-0", "quiet"]
        await control(world).remove("fault-0")
        everywhere(world, "quiet")
        again_ns, same = await took_ns(world, "c")
        assert same == right and again_ns < free_ns + 50_000
        await settle(world)

    run(blueprint(), job)


def test_nothing_is_charged_for_telling_and_no_time_passes() -> None:
    async def job(world: VirtualWorld) -> None:
        num, now_ns = len(world.trace.records), world.clock.now()
        await control(world).add(LATE)
        assert world.clock.now() == now_ns
        assert not [r for r in list(world.trace.records)[num:] if isinstance(r, Delivered)]

    run(blueprint(), job)


def test_a_partition_of_the_gateway_can_be_taken_away_again() -> None:
    async def job(world: VirtualWorld) -> None:
        await control(world).add({"type": "partition", "name": "cut"})
        everywhere(world, "cut")
        await control(world).remove("cut")
        everywhere(world)
        assert await tokens(world, "a")

    run(blueprint(), job)


def test_start_counts_from_now() -> None:
    async def job(world: VirtualWorld) -> None:
        await world.clock.wait_until(1_000_000)
        stall = {"type": "stall", "start": "10 us", "duration": "20 us"}
        assert (await control(world).add(stall))["start"] == "1.01 ms"
        begun_ns = world.clock.now()
        await tokens(world, "a")
        kinds = [r for r in world.trace.records if isinstance(r, Delivered) and r.at_ns > begun_ns]
        assert not [r for r in kinds if 1_014_000 < r.at_ns < 1_030_000], "2 us are on their way"
        assert [r for r in kinds if r.at_ns >= 1_030_000]

    run(blueprint(), job)


def test_a_link_that_is_narrowed_anew_has_its_new_rate() -> None:
    """One that goes by the old name is another lane."""

    async def job(world: VirtualWorld) -> None:
        free_ns, right = await took_ns(world, "a")
        times = []
        for number, rate in enumerate(("100 GB/s", "20 MB/s", "100 GB/s")):
            fault = {**NARROW, "name": "narrow", "attributes": {"rate": rate}}
            await control(world).add(fault)
            spent_ns, same = await took_ns(world, f"b{number}")
            times.append(spent_ns)
            assert same == right
            await control(world).remove("narrow")
        everywhere(world)
        assert times[1] > 3 * free_ns and times[2] < times[1] / 3

    run(blueprint(), job)


@pytest.mark.parametrize("victim", ["experts-1", "gateway"])
def test_who_returns_stands_with_the_others(victim: str) -> None:
    """A shard's next incarnation hears what was told; the gateway's begins with the scenario's."""

    async def job(world: VirtualWorld) -> None:
        await control(world).add(DROP)
        await control(world).remove("fault-0")
        everywhere(world, "quiet")
        await world.kill(victim)
        await world.revive(victim)
        await world.clock.wait_until(world.clock.now() + 1_000)
        everywhere(world, *(["quiet"] if victim != "gateway" else ["fault-0"]))

    run(blueprint({"faults": [{**DROP, "name": None}]}), job)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"type": "latncy"}, "type: is 'latncy': it must be one of 'latency', 'drop'"),
        (3, "is 3: it must be one of|is 3"),
        ({"type": "drop", "sorce": "router"}, "sorce: there is no key 'sorce' here: did you mean"),
        ({"type": "drop", "source": "decode-9"}, "source: no node or worker is called 'decode-9'"),
        ({"type": "drop", "kind": "dispach"}, "kind: no message is of kind 'dispach'"),
        (
            {"type": "drop", "source": "router", "destination": "router"},
            "destination: router and router both stand on node router: no link is there",
        ),
        (
            {"type": "latency", "attributes": {"latency": "-5 ms"}},
            "attributes.latency: '-5 ms' is below zero",
        ),
        (
            {"type": "latency", "attributes": {"distribution": "replay", "path": "/etc/passwd"}},
            "attributes.path: names a file, and no file .* send attributes.delays",
        ),
        ({"type": "drop", "name": "first"}, "name: 'first' is another's: remove that first"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_stands(body: Any, told: str) -> None:
    async def job(world: VirtualWorld) -> None:
        with pytest.raises(InvalidRequest, match=told):
            await control(world).add(body)
        everywhere(world, "first")
        with pytest.raises(NotFound, match="no fault is called 'frst': did you mean 'first'"):
            await control(world).remove("frst")

    run(blueprint({"faults": [{**DROP, "name": "first"}]}), job)


def test_all_travels_in_frames_too() -> None:
    async def job(world: VirtualWorld) -> None:
        replay = {"distribution": "replay", "delays": ["1 us", "2 us"]}
        await control(world).add({"type": "latency", "attributes": replay})
        everywhere(world, "fault-0")
        assert await tokens(world, "a")

    run(blueprint(), job, through_frames=True)

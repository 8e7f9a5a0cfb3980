"""When answers come as fast as this, how long does one more take? Worked out by hand."""

import asyncio

import pytest

from cluster.gateway.entrance import Entrance
from cluster.gateway.errors import RETRY_MAX_S, reply
from cluster.gateway.pace import LEAST, MARGIN, NEWEST, Gaps, Pace
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, world
from tests.cluster.worlds.cluster import ask, blueprint, prompt, request, run, settle
from workers.errors import Draining, PeerDead, QueueFull


def test_gaps_are_those_of_busy_times_and_the_newest_count():
    gaps = Gaps()
    assert gaps.of(5) == 0
    gaps.busy(100)
    gaps.happened(110)
    gaps.happened(130)
    gaps.busy(1000)  # idle in between
    gaps.happened(1030)
    assert len(gaps) == 3 and gaps.of(1) == 20 and gaps.of(4) == 80
    for number in range(NEWEST):
        gaps.happened(1037 + 7 * number)
    assert len(gaps) == NEWEST and gaps.of(2) == 14


def busy_pace() -> Pace:
    """16 have ended, one every 10 ns, and three more wait since the beginning."""
    pace = Pace()
    for _ in range(LEAST + 3):
        pace.arrived(0)
    for number in range(1, LEAST + 1):
        pace.begun()
        pace.left(10 * number, has_begun=True, is_whole=True)
    return pace


def test_a_request_that_cannot_be_whole_in_time_is_refused_and_told_when_it_could_be():
    pace = busy_pace()
    assert (pace.num_waiting, pace.num_open, pace.drain_ns()) == (3, 3, 30)
    needed_ns = int(MARGIN * 4 * 10)  # it is the fourth
    pace.check(needed_ns)
    with pytest.raises(QueueFull, match="3 requests are inside") as refused:
        pace.check(needed_ns - 1)
    assert refused.value.facts == {"retry_after_ns": 1}


def test_nobody_is_refused_where_nobody_waits_or_nothing_is_known():
    pace = busy_pace()
    for _ in range(3):
        pace.begun()
    pace.check(1)
    for _ in range(3):
        pace.left(300, has_begun=True, is_whole=True)
    assert pace.num_open == pace.num_waiting == 0
    new = Pace()
    new.arrived(0)
    new.check(1)


def test_quiet_times_and_what_is_cut_short_say_nothing_of_how_fast_answers_come():
    pace = busy_pace()
    pace.begun()
    pace.left(10_000, has_begun=True, is_whole=False)
    pace.left(10_000, has_begun=False, is_whole=False)
    pace.left(10_000, has_begun=False, is_whole=False)
    for number in range(NEWEST):  # one at a time
        pace.arrived(20_000 + 5_000 * number)
        pace.begun()
        pace.left(24_000 + 5_000 * number, has_begun=True, is_whole=True)
    for _ in range(3):
        pace.arrived(10**6)
    assert pace.drain_ns() == 30


@pytest.mark.parametrize("told", ["0", "-1", "1e3", "60.000000001", "soon", "1" * 5000, ""])
def test_a_deadline_in_a_header_is_seconds_up_to_the_clusters_own(told):
    async def main():
        async with world(FakeRouter()) as w:
            body = {"model": MODEL, "prompt": "a"}
            headers = {"X-Request-Timeout": told}
            refused = await w.http.post("/v1/completions", json=body, headers=headers)
            assert refused.status_code == 400 and len(refused.text) < 600
            assert refused.json()["error"]["param"] == "X-Request-Timeout"
            assert "at most 60 (slo.deadline)" in refused.text
            headers = {"X-Request-Timeout": "60"}
            await w.http.post("/v1/completions", json=body, headers=headers)
            await w.http.post("/v1/completions", json=body)
            assert [one.deadline_ns for one in w.router.requests] == [60 * 10**9, 0]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (QueueFull("full", retry_after_s=2.2), "3"),
        (Draining("going", retry_after_s=0.1), "1"),
        (PeerDead("gone"), "1"),
        (QueueFull("full", retry_after_s=1e9), str(RETRY_MAX_S)),
        (QueueFull("full", retry_after_s=float("nan")), "1"),
    ],
)
def test_429_and_503_say_when_to_come_back(error, after):
    assert dict(reply(error, "r").headers) == {"retry-after": after}


def test_a_users_own_deadline_is_kept() -> None:
    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        late = await ask(world, request("late", prompt_ids=prompt(1), deadline_ns=40_000))
        assert late.code == "deadline_exceeded" and late.ended_ns == begun_ns + 40_000
        assert (await ask(world, request("fits", deadline_ns=10**9))).code == ""
        assert world.client.entrance.pace.num_open == 0
        await settle(world)

    run(blueprint(), job)


def test_what_is_told_is_by_the_wall() -> None:
    async def job(world: VirtualWorld) -> None:
        door = Entrance(world.gateway, dilation=1000.0)
        told = door.with_time(QueueFull("full", retry_after_ns=2_500_000))
        assert told.facts == {"retry_after_ns": 2_500_000, "retry_after_s": 2.5}

    run(blueprint(), job)

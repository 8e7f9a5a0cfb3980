"""Law 3 at both ends of every stream: whoever hears nothing any more ends by the deadline, and so
does whoever is not heard.
"""

from typing import Any

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import (
    ask_all,
    blueprint,
    leftovers,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from workers.chip.chip import Chip
from workers.host.trace import Delivered
from workers.wire.message import Message
from workers.wire.rules import Delay, Drop, Pass, Verdict

DEADLINE_NS = 1_000_000
SHORT = {"placement.kv_pool": False, "slo.deadline": f"{DEADLINE_NS} ns"}
FOUR = [request(f"r{i}", prompt_ids=prompt(i), max_tokens=32) for i in range(4)]


def cut(one: str, other: str, **fault: str) -> dict[str, Any]:
    return {"type": "partition", "source": one, "destination": other, "start": "200 us", **fault}


@pytest.mark.parametrize("fault", [{}, {"duration": "10 ms"}, {"duration": "1 ms"}])
@pytest.mark.parametrize(
    "pair", [("router", "gateway"), ("router", "decode-0"), ("prefill-0", "router")]
)
def test_who_hears_nothing_any_more_ends_at_its_deadline(
    pair: tuple[str, str], fault: dict[str, str]
) -> None:
    """The deadline is 1 ms from submission: each ends exactly then, or was answered before. A cut
    of ten deadlines, and one for good, are the same to the reader.
    """

    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        heard = await ask_all(world, FOUR)
        assert {one.code for one in heard} <= {"", "deadline_exceeded"}
        late = [one for one in heard if one.code]
        assert late, "the cut comes long before the last token"
        assert {one.ended_ns - begun_ns for one in late} == {DEADLINE_NS}
        assert all(one.ended_ns - begun_ns <= DEADLINE_NS for one in heard)
        if fault:
            await world.clock.wait_until(begun_ns + 20 * DEADLINE_NS)
            await settle(world)

    one_decode_chip = {"cluster.nodes.decode.count": 1}
    run(blueprint({**SHORT, **one_decode_chip, "faults": [cut(*pair, **fault)]}), job)


def test_a_chip_that_nobody_can_reach_lets_go_at_the_deadline_by_itself() -> None:
    """Both ways are cut for good: no abort arrives, and yet its blocks are free after 1 ms."""

    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        await ask_all(world, FOUR)
        await world.clock.wait_until(begun_ns + DEADLINE_NS + 100_000)  # a step's blocks go with it
        for name, chip in workers_of(world, Chip).items():
            held = chip.held()
            assert (held["jobs"], held["blocks"]) == (0, 0), name
            assert chip._scheduler.is_idle, name

    cuts = [cut("router", "prefill-0"), cut("router", "decode-0"), cut("prefill-0", "decode-0")]
    run(blueprint({**SHORT, "cluster.nodes.decode.count": 1, "faults": cuts}), job)


class _Late:
    """Everything of a kind comes later by so much."""

    def __init__(self, kind: str, delay_ns: int) -> None:
        self._kind, self._verdict = kind, Delay(delay_ns) if delay_ns else Drop()

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        return self._verdict if message.kind == self._kind else Pass()


@pytest.mark.parametrize("kind", ["submit", "accepted", "tokens", "outputs", "reserve", "prefill"])
def test_no_answer_is_right_after_its_deadline(kind: str) -> None:
    """What is late by two deadlines may come whole; it is an error all the same, at the deadline,
    and a submission that comes then begins nothing.
    """

    async def job(world: VirtualWorld) -> None:
        for node in world.nodes.values():
            node.endpoint.rules["late"] = _Late(kind, 2 * DEADLINE_NS)
        begun_ns = world.clock.now()
        heard = await ask_all(world, FOUR)
        assert {one.code for one in heard} == {"deadline_exceeded"}
        # A call to a chip is given up after a quarter of the deadline, and with the third of these
        # the request; those in line try one after the other, until their deadline.
        is_early = kind in ("reserve", "prefill")
        ends = {one.ended_ns - begun_ns for one in heard}
        assert min(ends) >= 3 * DEADLINE_NS // 4 if is_early else ends == {DEADLINE_NS}
        assert max(ends) <= DEADLINE_NS
        assert all(not one.tokens or kind == "tokens" for one in heard)
        await world.clock.wait_until(begun_ns + 3 * DEADLINE_NS)
        for node in world.nodes.values():
            del node.endpoint.rules["late"]
        await world.clock.wait_until(begun_ns + 30 * DEADLINE_NS)
        assert not leftovers(world)
        kinds = {r.kind for r in world.trace.records if isinstance(r, Delivered)}
        assert ("reserve" in kinds) is (kind != "submit"), "what came too late began nothing"

    run(blueprint(SHORT), job)


def test_outputs_that_are_given_up_end_their_stream() -> None:
    """A deadline of 100 ms and calls of 0.25 ms: the router's line gives up after eight of them, 2
    ms. Reader and chips hear so long before the deadline, and no stream goes on with a gap.
    """

    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        wanted = [request("r", max_tokens=64, deadline_ns=100 * DEADLINE_NS)]
        world.nodes["router"].endpoint.rules["lost"] = _Late("outputs", 0)

        def heal() -> None:
            del world.nodes["router"].endpoint.rules["lost"]

        world.clock.call_at(begun_ns + 3 * DEADLINE_NS, heal)
        (heard,) = await ask_all(world, wanted)
        assert heard.code == "peer_dead"
        assert 2 * DEADLINE_NS < heard.ended_ns - begun_ns < 4 * DEADLINE_NS
        await settle(world)

    run(blueprint(SHORT), job)


@pytest.mark.parametrize("attempts", [1, 2])
def test_tokens_that_a_chip_cannot_tell_end_their_stream_or_are_sampled_again(
    attempts: int,
) -> None:
    """A deadline of 100 ms and calls of 0.25 ms: the chip's line gives up after eight of them, 2
    ms. When the link heals after 5 ms the router hears so, and nobody waits for the deadline.
    """

    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        wanted = [request("r", max_tokens=64, deadline_ns=100 * DEADLINE_NS)]
        (heard,) = await ask_all(world, wanted)
        if attempts == 1:
            assert heard.code == "peer_dead"
            assert heard.error is None and "could not tell what it sampled" in str(heard.last.error)
        else:
            assert not heard.code and len(heard.tokens) == 64
        assert 5 * DEADLINE_NS < heard.ended_ns - begun_ns < 8 * DEADLINE_NS
        await settle(world)

    cuts = [cut("decode-0", "router", duration="4800 us")]
    few = {"cluster.nodes.decode.count": 1, "cluster.attempts": attempts}
    run(blueprint({**SHORT, **few, "faults": cuts}), job)

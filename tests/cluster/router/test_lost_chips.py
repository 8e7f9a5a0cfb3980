"""Chips that die: their requests go on elsewhere, and no reader sees it, but for the time."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

import pytest

from cluster.api.request import Request
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import Outage, router_of
from tests.cluster.worlds.cluster import (
    Heard,
    ask,
    ask_all,
    blueprint,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from workers.chip.chip import Chip
from workers.host.trace import Noted, Sampled
from workers.model.shaping import Constraint, Shaping
from workers.wire.message import Message
from workers.wire.rules import Pass, Verdict

NO_POOL: Mapping[str, object] = {"placement.kv_pool": False}
TWO_EACH = {**NO_POOL, "cluster.nodes.prefill.count": 2}
BOTH = {
    **NO_POOL,
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "cluster.nodes.both": {"workers": ["chip"], "count": 2, "device": "h100-sxm",
                           "link": "lowlat-2us"},
}  # fmt: skip
PLACES = {"apart": TWO_EACH, "both": BOTH}
Job = Callable[[VirtualWorld], Awaitable[Any]]


def mixed(count: int = 7) -> list[Request]:
    """Greedy and sampled, with log-probabilities, a stop string, penalties, min_tokens, a
    grammar."""
    more: list[dict[str, Any]] = [
        {},
        {"temperature": 0.9, "seed": 5},
        {"logprobs": 2, "temperature": 0.7, "seed": 6},
        {"stop": ("e",), "min_tokens": 9, "temperature": 1.0, "seed": 7},
        {"shaping": Shaping(frequency_penalty=0.9, presence_penalty=0.4, repetition_penalty=1.3)},
        {"min_tokens": 12, "ignore_eos": False, "temperature": 1.1, "seed": 3},
        {
            "shaping": Shaping(Constraint("regex", "[a-z]{1,9}( [a-z]{1,9}){2,9}")),
            "temperature": 1.0,
        },
    ]
    return [
        request(f"r{i}", **{"prompt_ids": prompt(i, 20 + 9 * i), "max_tokens": 24, **more[i]})
        for i in range(count)
    ]


def told(heard: list[Heard]) -> list[object]:
    """All that a reader sees of a stream, position by position."""
    return [
        [(o.position, o.token_ids, o.logprobs, o.text, o.finish_reason, o.error, o.approximate)
         for o in one.outputs]
        for one in heard
    ]  # fmt: skip


@cache
def calm(places: str) -> list[object]:
    async def job(world: VirtualWorld) -> list[object]:
        return told(await ask_all(world, mixed(), apart_ns=9_000))

    result: list[object] = run(blueprint(PLACES[places]), job)
    return result


async def disturbed(
    world: VirtualWorld, disturb: Callable[[VirtualWorld], Awaitable[tuple[str, ...]]]
) -> list[object]:
    """The same questions, while something is done to the cluster that leaves these nodes dead."""
    asked = world.gateway.spawn(ask_all(world, mixed(), apart_ns=9_000), "ask")
    dead = await disturb(world)
    heard = await asked
    await settle(world, dead=dead)
    return told(heard)


def later(world: VirtualWorld, after_ns: int) -> Awaitable[None]:
    return world.clock.wait_until(world.clock.now() + after_ns)


def begun_anew(world: VirtualWorld) -> int:
    return sum(isinstance(r, Noted) and r.what == "begun anew" for r in world.trace.records)


@pytest.mark.parametrize("after_ns", range(10_000, 330_000, 60_000))
@pytest.mark.parametrize("victim", ["prefill-0", "decode-0", "both-0"])
def test_every_stream_goes_on_exactly(victim: str, after_ns: int) -> None:
    """In line, while room is asked for, in prefill, in handover, in decode: positions, texts and
    log-probabilities are what they are undisturbed, and nothing is held afterwards.
    """
    places = "both" if victim == "both-0" else "apart"

    async def kill(world: VirtualWorld) -> tuple[str, ...]:
        await later(world, after_ns)
        await world.kill(victim)
        return (victim,)

    assert run(blueprint(PLACES[places]), lambda world: disturbed(world, kill)) == calm(places)


@pytest.mark.parametrize("kind", ["reserve", "reserved", "prefill", "kv_blocks", "start", "tokens"])
@pytest.mark.parametrize("victim", ["source", "target"])
def test_a_chip_that_dies_as_a_message_leaves_is_no_matter_which(kind: str, victim: str) -> None:
    """Of a hand-over: both ends of it, before and after each of its steps."""

    async def kill(world: VirtualWorld) -> tuple[str, ...]:
        """With the third of its kind whoever computes its prompt dies, or is to decode it."""
        seen: list[str] = []
        wanted = world.gateway.mailbox()

        class AtThird:
            def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
                if message.kind == kind and len(seen) < 3:
                    seen.append(message.request_id)
                    if len(seen) == 3:
                        wanted.put(seen[-1])
                return Pass()

        for node in world.nodes.values():
            node.endpoint.rules["third"] = AtThird()
        sequence_id, known = str(await wanted.get()), router_of(world).state
        placements = [r.placement for r in known.requests.values() if r.placement is not None]
        named = [one for one in placements if one.sequence_id == sequence_id]
        placement = (named or placements)[0]  # a report names none
        name = placement.prefill_chip if victim == "source" else placement.decode_chip
        dead = world.blueprint.plan.directory[name]
        await world.kill(dead)
        return (dead,)

    assert run(blueprint(TWO_EACH), lambda world: disturbed(world, kill)) == calm("apart")


@pytest.mark.parametrize("places", PLACES)
def test_twice_in_a_row_and_a_chip_that_comes_back(places: str) -> None:
    """The first dies, the other one as soon as its streams went on there, and between the two the
    first is back, empty.
    """
    names = ("decode-0", "decode-1") if places == "apart" else ("both-0", "both-1")

    async def kill(world: VirtualWorld) -> tuple[str, ...]:
        await later(world, 150_000)
        await world.kill(names[0])
        await later(world, 60_000)
        await world.revive(names[0])
        await world.kill(names[1])
        assert begun_anew(world) > 2
        return (names[1],)

    assert run(blueprint(PLACES[places]), lambda world: disturbed(world, kill)) == calm(places)


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("after_ns", [60_000, 150_000, 260_000])
def test_chips_that_die_while_the_router_is_away(places: str, after_ns: int) -> None:
    """It hears so when it is back, from its journal and from who lives."""
    names = ("prefill-0", "decode-0") if places == "apart" else ("both-0",)

    async def kill(world: VirtualWorld) -> tuple[str, ...]:
        await later(world, after_ns)
        outage = await Outage.begin(world)
        for name in names:
            await world.kill(name)
        await later(world, 20_000)
        await outage.over()
        return names

    assert run(blueprint(PLACES[places]), lambda world: disturbed(world, kill)) == calm(places)


def test_a_router_that_dies_after_a_chip_knows_of_the_attempts_from_its_journal() -> None:
    async def kill(world: VirtualWorld) -> tuple[str, ...]:
        await later(world, 150_000)
        await world.kill("decode-0")
        losses = {name: one.losses for name, one in router_of(world).state.requests.items()}
        assert 1 in losses.values()
        outage = await Outage.begin(world)
        await later(world, 20_000)
        router = await outage.over()
        assert {name: one.losses for name, one in router.state.requests.items()} == losses
        return ("decode-0",)

    assert run(blueprint(TWO_EACH), lambda world: disturbed(world, kill)) == calm("apart")


def test_nothing_that_was_sent_is_sampled_again() -> None:
    """A stream of 64 tokens whose chip dies after about 40: 64 are sampled, and those few that the
    router had not heard of are sampled twice.
    """

    async def job(world: VirtualWorld) -> None:
        heard = Heard()
        asked = world.gateway.spawn(ask(world, request("r", max_tokens=64), heard), "ask")
        while len(heard.tokens) < 40:
            await later(world, 1_000)
        known = len(router_of(world).state.requests["r"].stream.tokens)
        (name,) = {c for c, chip in workers_of(world, Chip).items() if chip.held()["blocks"]}
        await world.kill(world.blueprint.plan.directory[name])
        await asked
        assert len(heard.tokens) == 64 and heard.last.finish_reason == "length"
        by = [(r.request_id, r.position) for r in world.trace.records if isinstance(r, Sampled)]
        assert [position for name, position in by if name == "r~1"] == list(range(known, 64))
        before = [position for name, position in by if name == "r"]
        assert before == list(range(len(before))) and known <= len(before) <= known + 2

    run(blueprint(TWO_EACH), job)


def test_where_no_other_chip_is_left_it_is_the_error_that_it_was() -> None:
    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(ask_all(world, mixed()), "ask")
        await later(world, 150_000)
        await world.kill("decode-0")
        heard = await asked
        assert {one.code for one in heard} <= {"", "peer_dead"}
        late = [str(one.last.error) for one in heard if one.code]
        assert late and all("decode-0 is gone" in text for text in late)
        assert begun_anew(world) == 0

    run(blueprint({**TWO_EACH, "cluster.nodes.decode.count": 1}), job)


def test_with_one_attempt_a_lost_chip_ends_its_requests() -> None:
    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(ask_all(world, mixed()), "ask")
        await later(world, 150_000)
        await world.kill("decode-0")
        assert {one.code for one in await asked} == {"", "peer_dead"}
        await settle(world, dead=("decode-0",))

    run(blueprint({**TWO_EACH, "cluster.attempts": 1}), job)

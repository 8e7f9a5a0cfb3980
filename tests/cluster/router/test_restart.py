"""A router that is restarted from its journal goes on with every stream, none repeated and none
lost: readers and chips only hear nothing of it for a while.
"""

from collections.abc import Mapping

import pytest

from cluster.api.request import Request
from cluster.router.journal.recovery import recover
from cluster.router.machine.state import RouterState
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import Outage, router_of, tokenizer_of
from tests.cluster.worlds.cluster import (
    Heard,
    ask,
    ask_all,
    blueprint,
    prompt,
    request,
    run,
    settle,
    with_cards,
)
from workers.host.trace import Delivered, Sampled
from workers.wire.message import Message
from workers.wire.rules import Drop, Pass, Verdict

NO_POOL = {"placement.kv_pool": False}
PLACES = (
    {},
    {"cluster.nodes.both": {"workers": ["chip"], "count": 1, "device": "h100-sxm",
                            "link": "lowlat-2us"}},
)  # fmt: skip


async def with_outages(
    world: VirtualWorld, wanted: list[Request], after_ns: list[int], length_ns: int
) -> list[Heard]:
    """Each `after_ns` after what was before; then ask whatever is left."""
    tasks = [world.gateway.spawn(ask_all(world, wanted, apart_ns=9_000), "ask")]
    for each_ns in after_ns:
        await world.clock.wait_until(world.clock.now() + each_ns)
        outage = await Outage.begin(world)
        await world.clock.wait_until(world.clock.now() + length_ns)
        await outage.over()
    heard = await tasks[0]
    await settle(world)
    return heard


def mixed(count: int) -> list[Request]:
    return [
        request(
            f"r{i}", prompt_ids=prompt(i, 20 + 9 * i), max_tokens=6 + 5 * (i % 3), seed=i,
            temperature=0.8 if i % 2 else 0.0, logprobs=1 if i == 2 else None,
        )
        for i in range(count)
    ]  # fmt: skip


def undisturbed(changes: Mapping[str, object], count: int) -> list[Heard]:
    async def job(world: VirtualWorld) -> list[Heard]:
        return await ask_all(world, mixed(count), apart_ns=9_000)

    return run(blueprint(changes), job)


def told(heard: list[Heard]) -> list[tuple[list[int], str, str, int]]:
    return [(one.tokens, one.text, one.last.finish_reason, len(one.outputs)) for one in heard]


@pytest.mark.parametrize("places", PLACES, ids=["apart", "one chip for both"])
@pytest.mark.parametrize("after_ns", [[60_000], [110_000], [150_000], [260_000], [150_000] * 3])
def test_every_stream_goes_on_exactly(places: dict[str, object], after_ns: list[int]) -> None:
    """Greedy and sampled, in prefill, in handover, in decode. `ask` sees to it that no position
    comes twice or too early; what was submitted before the outage and not yet accepted asks again.
    """
    changes = {**NO_POOL, **places}

    async def job(world: VirtualWorld) -> list[Heard]:
        return await with_outages(world, mixed(6), after_ns, length_ns=40_000)

    heard, calm = run(blueprint(changes), job), undisturbed(changes, 6)
    accepted = [i for i, one in enumerate(heard) if not one.code]
    assert len(accepted) >= 5, [one.code for one in heard]
    assert {heard[i].code for i in range(6) if i not in accepted} <= {"deadline_exceeded"}
    assert [told(heard)[i] for i in accepted] == [told(calm)[i] for i in accepted]
    later = [heard[i].ended_ns - calm[i].ended_ns for i in accepted]
    assert max(later) > 40_000, "some did wait"


def test_a_stream_that_all_have_heard_of_is_computed_by_nobody_again() -> None:
    async def job(world: VirtualWorld) -> None:
        (heard,) = await ask_all(world, [request("r")])
        await settle(world)
        outage = await Outage.begin(world)
        router = await outage.over()
        await settle(world)
        sampled = [r for r in world.trace.records if isinstance(r, Sampled)]
        assert len(sampled) == len(heard.tokens) == 8
        kinds = {r.kind for r in world.trace.records if isinstance(r, Delivered)}
        assert not kinds & {"abort", "state"} and router.state.is_idle
        assert len((await ask(world, request("next"))).tokens) == 8

    run(blueprint(NO_POOL), job)


def test_the_line_keeps_its_order() -> None:
    """24 blocks of which each takes 8: three at once, before the outage and after it."""

    async def job(world: VirtualWorld) -> None:
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 100), max_tokens=28) for i in range(8)]
        task = world.gateway.spawn(ask_all(world, wanted), "ask")
        await world.clock.wait_until(world.clock.now() + 200_000)
        assert router_of(world).state.line == ["r3", "r4", "r5", "r6", "r7"]
        outage = await Outage.begin(world)
        router = await outage.over()
        assert router.state.line == [f"r{i}" for i in range(8)], "those who had room go first"
        heard = await task
        assert [len(one.tokens) for one in heard] == [28] * 8
        ends = [one.ended_ns for one in heard]
        assert ends == sorted(ends)
        await settle(world)

    few = {"model.num_kv_blocks": 24, "model.max_model_len": 128, "cluster.nodes.decode.count": 1}
    run(blueprint({**NO_POOL, **few}), job)


def test_a_deadline_is_a_point_in_time_and_no_outage_moves_it() -> None:
    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        heard = Heard()
        wanted = request("r", max_tokens=64, deadline_ns=400_000)
        task = world.gateway.spawn(ask(world, wanted, heard), "ask")
        await world.clock.wait_until(begun_ns + 150_000)
        outage = await Outage.begin(world)
        await world.clock.wait_until(begun_ns + 300_000)
        await outage.over()
        await task
        assert heard.code == "deadline_exceeded"
        assert heard.ended_ns - begun_ns == 400_000
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_what_was_cancelled_stays_cancelled_and_its_abort_is_told_until_it_is_heard() -> None:
    async def job(world: VirtualWorld) -> None:
        heard = Heard()
        task = world.gateway.spawn(ask(world, request("r", max_tokens=64), heard), "ask")
        await world.clock.wait_until(world.clock.now() + 150_000)
        for name in ("prefill-0", "prefill-1", "decode-0", "decode-1"):
            world.nodes["router"].endpoint.rules[name] = _NoAbort()
        task.cancel()
        await world.clock.wait_until(world.clock.now() + 20_000)
        outage = await Outage.begin(world)
        assert outage.before.state.aborts and not outage.before.state.requests
        router = await outage.over()
        await settle(world)
        assert router.state.aborts == {}

    run(blueprint(NO_POOL), job)


class _NoAbort:
    def judge(self, source: str, destination: str, message: Message) -> Verdict:
        return Drop() if message.kind == "abort" else Pass()


def test_stores_are_known_again_and_preloaded_ones_are_not_brought_twice() -> None:
    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("notes")
        outage = await Outage.begin(world)
        await outage.over()
        before = world.trace.num_records
        await world.crews[outage.name].preload()
        assert world.trace.num_records == before, "no message"
        names = [known.name for known in await world.client.stores()]
        assert names == ["cards", "notes"]
        again = await world.client.create_store("more")
        assert again.store_id != store.store_id
        wanted = request("r", prompt="What is the price of Rasavan-65?", retrieval="cards")
        assert (await ask(world, wanted)).last.passages
        await settle(world)

    run(with_cards(NO_POOL), job)


def test_chips_that_changed_while_no_router_stood_are_taken_as_they_are() -> None:
    calm = undisturbed(NO_POOL, 4)

    async def job(world: VirtualWorld) -> None:
        task = world.gateway.spawn(ask_all(world, mixed(4)), "ask")
        await world.clock.wait_until(world.clock.now() + 150_000)
        outage = await Outage.begin(world)
        await world.kill("decode-0")
        await world.revive("decode-0")
        router = await outage.over()
        assert router.state.chips["decode-0"].epoch == 2 and router.state.chips["decode-0"].alive
        heard = await task
        assert [one.code for one in heard] == [""] * 4, "what was on it began anew"
        assert [one.tokens for one in heard] == [one.tokens for one in calm]

    run(blueprint(NO_POOL), job)


def test_the_journal_of_a_whole_run_replays_to_the_state_that_the_router_has() -> None:
    """Under faults, with retrieval: at many moments, from the disk alone."""

    async def job(world: VirtualWorld) -> None:
        router, seen = router_of(world), []
        disk, tokenizer = router._node.disk, tokenizer_of(router)

        def look() -> None:
            state = recover(disk, tokenizer).state
            assert isinstance(state, RouterState) and state == router.state
            seen.append(len(state.requests))
            world.clock.call_at(world.clock.now() + 7_000, look)

        look()
        ask_cards = {"prompt": "What is the price of Rasavan-65?", "retrieval": "cards"}
        wanted = [request(f"q{i}", max_tokens=12, **ask_cards) for i in range(4)]
        await ask_all(world, [*mixed(4), *wanted], apart_ns=11_000)
        assert max(seen) >= 4 and len(seen) > 40

    faults = [
        {"type": "drop", "toxicity": 0.05},
        {"type": "duplicate", "toxicity": 0.05, "attributes": {"delay": "3 us"}},
    ]
    run(with_cards({**NO_POOL, "faults": faults}), job)


def test_without_a_journal_nothing_is_written_and_nothing_is_known_again() -> None:
    async def job(world: VirtualWorld) -> None:
        await ask(world, request("r"))
        router = router_of(world)
        assert router._node.disk.names() == []
        await settle(world)

    run(blueprint({**NO_POOL, "cluster.router_journal": False}), job)

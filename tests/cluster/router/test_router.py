"""The life of requests: who is refused, who waits, how each ends, and that nothing stays behind."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.api.kinds import WasCancelled
from cluster.router.machine.actions import Accept, Action
from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import (
    Heard,
    ask,
    ask_all,
    blueprint,
    leftovers,
    prompt,
    request,
    run,
    settle,
    with_cards,
    workers_of,
)
from workers.host.trace import Delivered

NO_POOL = {"placement.kv_pool": False}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"model": "gpt-9"}, "not_found", "'gpt-9' does not exist: 'perfuse-tiny'"),
        ({"max_tokens": 0}, "invalid_request_error", "max_tokens is 0"),
        ({"temperature": 9.0}, "invalid_request_error", "temperature"),
        ({"retrieval": "nowhere", "prompt": "x"}, "not_found", "no vector store 'nowhere'"),
        ({"prompt_ids": (10**6,)}, "invalid_request_error", "token id 1000000"),
        ({"prompt_ids": prompt(1, 90)}, "context_length_exceeded", "90 tokens"),
        ({"prompt": ""}, "invalid_request_error", "empty"),
        ({"seed": 2**70}, "invalid_request_error", "cannot be kept in a journal"),
    ],
)  # fmt: skip
def test_a_refusal_is_clear_and_leaves_no_trace(changes: dict, code: str, words: str) -> None:
    async def job(world: VirtualWorld) -> None:
        heard = await ask(world, request("r", **changes))
        assert heard.error is not None
        assert heard.error.code == code and words in heard.error.message
        assert not heard.outputs and not leftovers(world)
        good = await ask(world, request("r"))  # the id is free
        assert len(good.tokens) == 8
        await settle(world)

    run(blueprint({**NO_POOL, "model.max_model_len": 96}), job)


def test_a_full_queue_refuses_the_next_and_a_draining_cluster_everyone() -> None:
    async def job(world: VirtualWorld) -> None:
        heard = await ask_all(world, [request(f"r{i}", prompt_ids=prompt(i)) for i in range(5)])
        assert sorted(one.code for one in heard) == ["", "", "", "queue_full", "queue_full"]
        facts = [one.error.facts for one in heard if one.error]
        assert facts == [{"retry_after_s": 1}] * 2
        await settle(world)
        inside = world.gateway.spawn(ask(world, request("inside")), "inside")
        await world.clock.wait_until(world.clock.now() + 50_000)
        await world.client.drain()
        late = await ask(world, request("late"))
        assert late.code == "draining" and (await world.client.state()).draining
        assert len((await inside).tokens) == 8, "what is inside goes on"
        await settle(world)

    run(blueprint({**NO_POOL, "slo.admission.max_queue": 3}), job)


def test_an_id_in_use_is_refused() -> None:
    async def job(world: VirtualWorld) -> None:
        first = world.gateway.spawn(ask(world, request("same")), "first")
        await world.clock.wait_until(world.clock.now() + 50_000)
        second = await ask(world, request("same"))
        assert second.code == "invalid_request_error"
        assert len((await first).tokens) == 8
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_without_kv_room_requests_wait_in_line_first_come_first_served() -> None:
    """24 blocks of which each takes 8: three at once, and all end in the order of their coming."""

    async def job(world: VirtualWorld) -> None:
        most = 0
        (router,) = workers_of(world, Router).values()

        def look() -> None:
            nonlocal most
            most = max(most, len(router.state.line))
            world.clock.call_at(world.clock.now() + 10_000, look)

        look()
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 100), max_tokens=28) for i in range(12)]
        heard = await ask_all(world, wanted, apart_ns=1_000)
        assert [one.code for one in heard] == [""] * 12
        assert [len(one.tokens) for one in heard] == [28] * 12
        queued = [one.last.times["queue"] for one in heard]
        assert queued[11] > queued[8] > queued[5] > queued[2] > 0
        ends = [one.ended_ns for one in heard]
        assert ends == sorted(ends)
        assert most >= 8
        await settle(world)

    few = {"model.num_kv_blocks": 24, "model.max_model_len": 128, "cluster.nodes.decode.count": 1}
    run(blueprint({**NO_POOL, **few}), job)


def test_somebody_in_line_who_goes_away_lets_the_next_one_pass() -> None:
    async def job(world: VirtualWorld) -> None:
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 100), max_tokens=28) for i in range(6)]
        heard = [Heard() for _ in wanted]
        tasks = [
            world.gateway.spawn(ask(world, one, h), one.request_id)
            for one, h in zip(wanted, heard, strict=True)
        ]
        await world.clock.wait_until(world.clock.now() + 200_000)
        (router,) = workers_of(world, Router).values()
        assert len(router.state.line) == 3
        tasks[3].cancel()  # the head of the line
        tasks[5].cancel()  # its tail
        for i in (0, 1, 2, 4):
            assert len((await tasks[i]).tokens) == 28
        await settle(world)

    few = {"model.num_kv_blocks": 24, "model.max_model_len": 128, "cluster.nodes.decode.count": 1}
    run(blueprint({**NO_POOL, **few}), job)


@pytest.mark.parametrize("deadline_ns", [1, 20_000, 60_000, 100_000, 200_000, 400_000])
def test_a_deadline_ends_a_request_with_a_clear_error(deadline_ns: int) -> None:
    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        wanted = request(
            "r", prompt="What is the price of Rasavan-65?", retrieval="cards", max_tokens=64,
            deadline_ns=deadline_ns,
        )  # fmt: skip
        heard = await ask(world, wanted)
        assert heard.code == "deadline_exceeded"
        assert heard.ended_ns - begun_ns == deadline_ns, "from submission on, in every stage"
        await settle(world)

    run(with_cards(NO_POOL), job)


def test_a_deadline_that_is_met_changes_nothing() -> None:
    async def job(world: VirtualWorld) -> None:
        heard = await ask(world, request("r", deadline_ns=10**9))
        assert (heard.code, heard.last.finish_reason, len(heard.tokens)) == ("", "length", 8)
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_stop_strings_end_a_stream_early_and_free_the_chip() -> None:
    async def job(world: VirtualWorld) -> None:
        ids = prompt(0)
        whole = await ask(world, request("whole", prompt_ids=ids, max_tokens=24))
        text = whole.text
        assert len(text) > 20
        for cut in (1, 5, 11):
            stop = text[cut : cut + 4]
            heard = await ask(
                world, request(f"stop {cut}", prompt_ids=ids, max_tokens=24, stop=(stop,))
            )
            assert heard.text == text[: text.index(stop)]
            assert heard.last.finish_reason == "stop"
            assert len(heard.tokens) <= len(whole.tokens)
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_stop_tokens_and_one_token() -> None:
    async def job(world: VirtualWorld) -> None:
        whole = await ask(world, request("whole", max_tokens=12))
        for place in (0, 1, 5):
            wanted = request(f"r{place}", max_tokens=12, stop_token_ids=(whole.tokens[place],))
            heard = await ask(world, wanted)
            first = whole.tokens.index(whole.tokens[place])
            assert heard.tokens == whole.tokens[: first + 1]
            assert heard.last.finish_reason == "stop"
        one = await ask(world, request("one", max_tokens=1))
        assert (one.tokens, one.last.finish_reason) == (whole.tokens[:1], "length")
        await settle(world)

    run(blueprint(NO_POOL), job)


def test_a_cancel_during_retrieval_is_heard() -> None:
    """It has no task of its own yet: no token may be computed for it."""

    async def job(world: VirtualWorld) -> None:
        wanted = request("r", prompt="price", retrieval="cards")
        task = world.gateway.spawn(ask(world, wanted), "r")
        await world.clock.wait_until(world.clock.now() + 10_000)
        task.cancel()
        await settle(world)
        prefilled = [
            r for r in world.trace.records if isinstance(r, Delivered) and r.kind == "prefill"
        ]
        assert not prefilled

    run(with_cards(NO_POOL), job)


def test_a_cancel_before_its_first_step_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes in the same turn of the loop in which the request was accepted."""

    async def job(world: VirtualWorld) -> None:
        (router,) = workers_of(world, Router).values()
        perform, replies = router.ledger.perform, []

        def cancel() -> None:
            message: Any = SimpleNamespace(
                request_id="r", source="gateway", source_epoch=1, message_id=9, concluded=1
            )
            replies.append(router._cancel(message))

        def perform_and_cancel(actions: Sequence[Action]) -> None:
            perform(actions)
            if any(isinstance(action, Accept) for action in actions):
                asyncio.get_running_loop().call_soon(cancel)

        monkeypatch.setattr(router.ledger, "perform", perform_and_cancel)
        heard = await ask(world, request("r"))
        assert replies == [WasCancelled(True)]
        assert heard.last.finish_reason == "cancelled" and not heard.tokens
        await settle(world)

    run(blueprint(NO_POOL), job)


@pytest.mark.parametrize("victim", ["prefill-0", "decode-0", "experts-1", "router"])
@pytest.mark.parametrize("at_ns", [20_000, 70_000, 150_000])
def test_a_lost_machine_ends_its_requests_clearly_and_no_others(victim: str, at_ns: int) -> None:
    async def job(world: VirtualWorld) -> None:
        async def kill() -> None:
            await world.clock.wait_until(world.clock.now() + at_ns)
            await world.kill(world.blueprint.plan.directory[victim])

        world.gateway.spawn(kill(), "kill")
        wanted = [request(f"r{i}", prompt_ids=prompt(i), max_tokens=16) for i in range(6)]
        heard = await ask_all(world, wanted)
        codes = {one.code for one in heard}
        assert codes <= {"", "peer_dead"}
        assert (codes == {""}) is (victim == "decode-0"), "there is another one of this alone"
        assert all(len(one.tokens) == 16 for one in heard if not one.code)
        if victim != "router":
            await settle(world, dead=(world.blueprint.plan.directory[victim],))
            after = await ask(world, request("after", max_tokens=4))
            assert after.code == ("" if victim == "decode-0" else "peer_dead")

    run(blueprint(NO_POOL), job)

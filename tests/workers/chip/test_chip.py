"""A chip inside a cluster: what it hands over arrives identical, and whatever is cut short leaves
nothing behind.
"""

import asyncio
from typing import Any

import numpy as np
import pytest

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
    workers_of,
)
from workers.chip.chip import Chip
from workers.errors import CorruptMessage, InvalidRequest, NotFound
from workers.host.trace import Delivered
from workers.memory.memory_server import MemoryServer
from workers.model.sampling_params import SamplingParams
from workers.wire.kind import Kind
from workers.wire.kinds.chip import Abort, Aborted, Reserve
from workers.wire.kinds.kv import KvBlocks, Start

NO_POOL = {"placement.kv_pool": False}


def chips_of(world: VirtualWorld) -> dict[str, Chip]:
    return workers_of(world, Chip)


def cached_blocks(chip: Chip, ids: tuple[int, ...]) -> np.ndarray:
    """The content of a prompt's full blocks as a chip's cache has them."""
    hashes: list[bytes] = []
    blocks = chip._scheduler.blocks
    blocks.extend_hashes(hashes, ids)
    found = blocks.match(hashes)
    assert len(found) == len(hashes), "every full block of the prompt is findable"
    return chip._model.read_blocks(tuple(found))


@pytest.mark.parametrize("length", [16, 17, 40, 100])
def test_kv_arrives_identical(length: int) -> None:
    """To the bit, also when it came in several chunks."""
    ids = prompt(1, length)

    async def job(world: VirtualWorld) -> None:
        heard = await ask(world, request("r", prompt_ids=ids, max_tokens=4))
        assert len(heard.tokens) == 4
        chips = chips_of(world)
        there = cached_blocks(chips["prefill-0"], ids)
        holder = [
            c
            for n, c in chips.items()
            if n.startswith("decode") and c._scheduler.blocks.lookup(ids)
        ]
        assert len(holder) == 1
        assert np.array_equal(there, cached_blocks(holder[0], ids)) and there.any()
        await settle(world)

    chunked = {**NO_POOL, "model.max_num_batched_tokens": 24, "model.max_num_seqs": 8}
    run(blueprint(chunked), job)


async def cancel_after(
    world: VirtualWorld, name: str, ids: tuple[int, ...], life_ns: int, **more: object
) -> Heard:
    heard = Heard()
    wanted = request(name, prompt_ids=ids, **more)
    task = world.gateway.spawn(ask(world, wanted, heard), name)
    await world.clock.wait_until(world.clock.now() + life_ns)
    task.cancel()
    return heard


@pytest.mark.parametrize(
    ("step_ns", "max_tokens", "length"), [(7_000, 16, 40), (1_000, 2, 70)], ids=["life", "prefill"]
)
def test_a_cancel_at_any_time_frees_everything(step_ns: int, max_tokens: int, length: int) -> None:
    """One request after the other is cut off, each a little later in its life than the one before:
    while it is submitted, in line, prefilled, handed over, pooled, decoded, answered. Nothing is
    left anywhere, and the next request is as if nothing had been.
    """

    async def job(world: VirtualWorld) -> None:
        base = request("base", prompt_ids=prompt(0, length), max_tokens=max_tokens)
        begun_ns = world.clock.now()
        whole = await ask(world, base)
        life_ns = whole.ended_ns - begun_ns
        stages: dict[int, int] = {}
        for number, cut_ns in enumerate(range(0, life_ns, step_ns), start=1):
            ids = prompt(number, length)
            heard = await cancel_after(world, f"cut-{number}", ids, cut_ns, max_tokens=max_tokens)
            stages[len(heard.tokens)] = stages.get(len(heard.tokens), 0) + 1
            for _ in range(60):  # everything that was on its way arrives: some 100 us
                await world.clock.wait_until(world.clock.now() + 5_000)
                if not leftovers(world):
                    break
            assert not leftovers(world), (cut_ns, leftovers(world))
        assert sum(stages.values()) > 100 and len(stages) >= max_tokens, stages
        again = await ask(
            world, request("again", prompt_ids=prompt(0, length), max_tokens=max_tokens)
        )
        assert again.tokens == whole.tokens
        await settle(world)
        assert not any((await world.client.held_everywhere()).values())

    run(blueprint(), job)


def test_many_cancelled_at_once_leave_the_others_alone() -> None:
    """Eight share steps; every second one goes away at another moment."""

    async def job(world: VirtualWorld) -> list[list[int]]:
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 30 + 9 * i)) for i in range(8)]
        begun_ns = world.clock.now()
        if world.blueprint is cutting:
            for i in range(8):
                ids = prompt(50 + i, 60)
                task = world.gateway.spawn(
                    ask(world, request(f"cut{i}", prompt_ids=ids)), f"cut{i}"
                )

                def cut(task: "asyncio.Task[Heard]" = task) -> None:
                    task.cancel()

                world.clock.call_at(begun_ns + 20_000 + 31_000 * i, cut)
        heard = await ask_all(world, wanted)
        await settle(world)
        return [one.tokens for one in heard]

    alone, cutting = blueprint(NO_POOL), blueprint({**NO_POOL, "cluster.nodes.decode.count": 2})
    assert alone is not cutting
    assert run(alone, job) == run(cutting, job)


def test_the_pool_gives_back_a_prompt_that_the_chip_forgot() -> None:
    """Same tokens, and the prompt's full blocks count as cached."""
    ids = prompt(3, 50)

    async def job(world: VirtualWorld) -> None:
        first = await ask(world, request("one", prompt_ids=ids))
        await settle(world)
        chips = chips_of(world)
        for chip in chips.values():
            blocks = chip._scheduler.blocks
            blocks.invalidate(range(blocks.num_blocks))
        second = await ask(world, request("two", prompt_ids=ids))
        assert first.last.num_cached_tokens == 0 and second.last.num_cached_tokens == 48
        assert second.tokens == first.tokens
        held = sum(server.pool.num_blocks for server in workers_of(world, MemoryServer).values())
        assert held == 3
        await settle(world)

    run(blueprint(), job)


@pytest.mark.parametrize("kind", ["pool_get", "pool_put"])
def test_a_pool_that_never_answers_costs_time_and_no_request(kind: str) -> None:
    ids = prompt(3, 50)

    async def job(world: VirtualWorld) -> None:
        first = await ask(world, request("one", prompt_ids=ids))
        second = await ask(world, request("two", prompt_ids=prompt(4, 50)))
        assert [first.code, second.code] == ["", ""] and len(second.tokens) == 8
        await settle(world)
        failures = [chip._pool.num_failures for chip in chips_of(world).values() if chip._pool]
        assert sum(failures) == 2

    run(blueprint({"faults": [{"type": "drop", "kind": kind}]}), job)


def test_a_preempted_sequence_gives_the_same_tokens() -> None:
    """The router is told that the chip is roomier than it is; so sequences are preempted as they
    grow, computed again, and nobody notices.
    """
    wanted = [request(f"r{i}", prompt_ids=prompt(i, 30), max_tokens=40) for i in range(6)]

    async def job(world: VirtualWorld) -> tuple[list[list[int]], int]:
        (router,) = workers_of(world, Router).values()
        router.state.chips["decode-0"].num_blocks = 1_000
        heard = await ask_all(world, wanted)
        await settle(world)
        assert [one.code for one in heard] == [""] * len(heard)
        chip = chips_of(world)["decode-0"]
        return [one.tokens for one in heard], chip._scheduler.num_preemptions

    few = {"model.max_model_len": 96, "cluster.nodes.decode.count": 1, **NO_POOL}
    tokens, num_preemptions = run(blueprint({**few, "model.num_kv_blocks": 16}), job)
    plenty, none = run(blueprint({**few, "model.num_kv_blocks": 256}), job)
    assert num_preemptions > 0 == none
    assert tokens == plenty


# -- what it is told by strangers ------------------------------------------------------------------


def test_messages_about_unknown_sequences_are_refused() -> None:
    async def job(world: VirtualWorld) -> None:
        chip = chips_of(world)["decode-0"]
        (router,) = workers_of(world, Router).values()
        port = router.port
        blocks = chip._model.read_blocks((0,))

        async def call(content: Kind[Any]) -> Any:
            deadline_ns = world.clock.now() + 10**9
            return await port.call("decode-0", content, deadline_ns=deadline_ns, request_id="x")

        content = KvBlocks(np.zeros(1, np.int64), np.zeros(1, np.uint64), blocks)
        with pytest.raises(NotFound, match="decode-0 has no sequence 'x'"):
            await call(content)
        with pytest.raises(NotFound):
            await call(Start(1, 0))
        assert await call(Abort()) == Aborted(False)
        with pytest.raises(InvalidRequest, match="empty prompt"):
            await call(Reserve((), SamplingParams(), 10**9))
        await call(Reserve(prompt(0, 20), SamplingParams(), 10**9))
        with pytest.raises(CorruptMessage, match="KV block 0 of x"):
            await call(content)
        assert await call(Abort()) == Aborted(True)
        assert not leftovers(world)

    run(blueprint(NO_POOL), job)


@pytest.mark.parametrize("kind", ["reserve", "prefill"])
def test_an_abort_that_overtakes_what_it_aborts_still_holds(kind: str) -> None:
    """A delayed message must not bring back what nobody will ever take away again."""

    async def job(world: VirtualWorld) -> None:
        await cancel_after(world, "r", prompt(0), 60_000)
        await settle(world)
        assert not any((await world.client.held_everywhere()).values())
        told = [r.kind for r in world.trace.records if isinstance(r, Delivered)]
        assert told.index("abort") < told.index(kind), "it came after its abort, and did not run"

    late = {"type": "latency", "kind": kind, "attributes": {"latency": "200 us"}}
    run(blueprint({**NO_POOL, "faults": [late]}), job)


def test_a_model_that_yields_nan_fails_its_requests_and_not_the_chip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def job(world: VirtualWorld) -> None:
        model = chips_of(world)["prefill-0"]._model
        whole = model.logits
        monkeypatch.setattr(model, "logits", lambda x, rows: whole(x, rows) * np.float32("nan"))
        broken = await ask(world, request("broken", prompt_ids=prompt(1, 20)))
        assert "NaN" in str(broken.last.error)
        monkeypatch.setattr(model, "logits", whole)
        assert (await ask(world, request("well", prompt_ids=prompt(2, 20)))).tokens
        await settle(world)
        assert not leftovers(world)

    run(blueprint(), job)

"""A KV write that comes to its turn after its sequence was aborted: its blocks are another's."""

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import blueprint, leftovers, prompt, run, workers_of
from workers.chip.chip import Chip
from workers.hardware.hardware import Hardware
from workers.hardware.work import Work
from workers.kv.checksums import NO_SUMS, sealed
from workers.kv.identity import Owner, tokens_number
from workers.model.sampling_params import SamplingParams
from workers.wire.kind import Kind
from workers.wire.kinds.chip import Abort, Aborted, Reserve
from workers.wire.kinds.kv import KvBlocks

# A prompt of 60 tokens and its first one take 4 blocks, and there are no more: whoever comes next
# gets the same ones.
FEW = {
    "placement.kv_pool": False, "model.num_kv_blocks": 4, "model.max_model_len": 64,
    "cluster.nodes.decode.count": 1,
}  # fmt: skip
WANTED = Reserve(prompt(0, 60), SamplingParams(max_tokens=4), 10**12)
QUEUED_NS = 1_000_000

Say = Callable[[str, Kind[Any]], Awaitable[Any]]


@pytest.fixture
def busy_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """KV writes go to a compute thread, as in live worlds those of much arithmetic do, and wait
    there behind others'.
    """

    async def later(self: Hardware, kernel: Callable[..., Any], *args: Any) -> Any:
        await self._clock.wait_until(self._clock.now() + QUEUED_NS)
        return kernel(*args)

    def is_small(self: Hardware, work: Work) -> bool:
        return work.name != "kv_write"

    monkeypatch.setattr(Hardware, "_on_thread", later)
    monkeypatch.setattr(Hardware, "_is_small", is_small)


def late_write(then: Callable[[Say], Awaitable[None]]) -> tuple[np.ndarray, np.ndarray]:
    """What the blocks hold before and after a write for "x" whose turn comes after `then`."""

    async def job(world: VirtualWorld) -> tuple[np.ndarray, np.ndarray]:
        (router,) = workers_of(world, Router).values()
        (chip,) = (c for name, c in workers_of(world, Chip).items() if name == "decode-0")

        async def say(name: str, content: Kind[Any]) -> Any:
            deadline_ns = world.clock.now() + 10**9
            port = router.port
            return await port.call("decode-0", content, deadline_ns=deadline_ns, request_id=name)

        assert (await say("x", WANTED)).room
        before = chip._model.read_blocks((0, 1, 2, 3)).copy()
        blocks = np.ones_like(before)
        owner = Owner("x", router.port.endpoint.epoch, tokens_number(WANTED.prompt_ids))
        content = sealed(KvBlocks(np.arange(4, dtype=np.int64), NO_SUMS, blocks), owner)
        writing = world.gateway.spawn(say("x", content), "write")
        await world.clock.wait_until(world.clock.now() + QUEUED_NS // 4)
        await then(say)
        await writing
        after = chip._model.read_blocks((0, 1, 2, 3)).copy()
        for name in ("x", "y"):
            await say(name, Abort())
        assert not leftovers(world)
        return before, after

    return run(blueprint(FEW), job)


@pytest.mark.usefixtures("busy_thread")
def test_a_write_whose_turn_comes_late_is_done() -> None:
    async def nothing(say: Say) -> None:
        pass

    before, after = late_write(nothing)
    assert not before.any() and (after == 1).all()


@pytest.mark.usefixtures("busy_thread")
@pytest.mark.parametrize("next_one", ["y", "x"], ids=["another", "another of the same name"])
def test_a_write_after_an_abort_does_not_land_in_blocks_of_the_next_one(next_one: str) -> None:
    """x is aborted while its write waits, and the next one is given its four blocks: they hold what
    they held. A reader may also take x's name again once x is gone.
    """

    async def next_comes(say: Say) -> None:
        assert await say("x", Abort()) == Aborted(True)
        assert (await say(next_one, WANTED)).room

    before, after = late_write(next_comes)
    assert np.array_equal(before, after)

"""What a chip evicts comes back: the same bytes, the same tokens, charged, and counted."""

from typing import Any

import numpy as np
import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask_all, blueprint, prompt, request, run, settle
from tests.cluster.worlds.pressure import expected
from tests.workers.kv.offloading import TO_SERVERS, ask_in_turn, the_chip, the_offload, to_tier
from workers.host.trace import Delivered, Ran

PLACES = {"tier": to_tier(), "servers": TO_SERVERS}


def ran(world: VirtualWorld, what: str) -> list[Ran]:
    return [r for r in world.trace.records if isinstance(r, Ran) and r.work == what]


@pytest.mark.parametrize("place", PLACES)
def test_a_prefix_that_was_evicted_comes_back_and_is_not_computed_again(place: str) -> None:
    """Three prompts of 100 tokens, 6 full blocks each, go in turn over 14 blocks: the first is gone
    when it is asked for again. Its last token is computed anyhow; 6 x 16 tokens are found.
    """

    async def job(world: VirtualWorld) -> None:
        heard = await ask_in_turn(world, "0120")
        for one, number in zip(heard, (0, 1, 2, 0), strict=True):
            assert one.tokens == expected(number, 100, 20)
        counts = the_chip(world).counts
        assert counts["offload_returned"] == 6 and counts["offload_saved_tokens"] == 96
        assert counts["offload_stored"] + counts["offload_known"] == counts["offload_evicted"]
        assert counts["offload_stored_bytes"] == (
            counts["offload_stored"] * the_chip(world)._model.block_bytes
        )
        assert counts["offload_failed"] == counts["offload_refused"] == 0
        await settle(world)

    run(blueprint(PLACES[place]), job)


def test_without_it_they_are_computed_again() -> None:
    """The same requests: so the test above can fail."""

    async def job(world: VirtualWorld) -> None:
        heard = await ask_in_turn(world, "0120")
        assert heard[3].tokens == expected(0, 100, 20)
        assert the_chip(world).counts == {"preemptions": 0}
        assert the_chip(world)._scheduler.num_prefix_hits == 0

    run(blueprint({**to_tier(), "placement.kv_offload": None}), job)


def test_what_comes_back_has_the_bytes_that_went() -> None:
    async def job(world: VirtualWorld) -> None:
        chip, hashes = the_chip(world), list[bytes]()
        blocks = chip._scheduler.blocks
        blocks.extend_hashes(hashes, prompt(0, 100))

        def content() -> Any:
            found = blocks.match(hashes)
            assert len(found) == 6
            return chip._model.read_blocks(tuple(found))

        await ask_in_turn(world, "0")
        before = content()
        await ask_in_turn(world, "12")
        assert not blocks.match(hashes)
        await ask_in_turn(world, "0")
        assert np.array_equal(before, content()) and before.any()

    run(blueprint(to_tier()), job)


def test_each_way_is_charged_as_worked_out_by_hand() -> None:
    """A block to the tier: bytes / 4 GB/s + 20 us; n of them in one launch share the 20 us. Back:
    bytes / 8 GB/s + 5 us. The launch's overhead comes on top. The KV tier is read and written.
    """

    async def job(world: VirtualWorld) -> None:
        await ask_in_turn(world, "0120")
        await settle(world)
        size = the_chip(world)._model.block_bytes
        overhead_ns = world.nodes["chip-0"].hardware.spec.launch_overhead_ns
        (back,) = ran(world, "offload_read")
        assert back.took_ns == pytest.approx(6 * size / 8 + 5_000 + overhead_ns, abs=2_000)
        outs = ran(world, "offload_write")
        total_ns = sum(out.took_ns for out in outs)
        counts = the_chip(world).counts
        by_hand_ns = counts["offload_stored"] * size / 4 + len(outs) * (20_000 + overhead_ns)
        assert total_ns == pytest.approx(by_hand_ns, rel=0.05)
        joules = sum(out.joules for out in outs)
        assert joules == pytest.approx(counts["offload_stored_bytes"] * 8 * 100e-12)
        assert len(ran(world, "kv_read")) == len(outs) and len(ran(world, "kv_write")) == 1

    run(blueprint(to_tier()), job)


def test_a_read_of_the_servers_memory_is_a_message() -> None:
    async def job(world: VirtualWorld) -> None:
        await ask_in_turn(world, "0120")
        await settle(world)
        told = [r for r in world.trace.records if isinstance(r, Delivered)]
        gets = [r for r in told if r.kind == "pool_get"]
        blocks = [r for r in told if r.kind == "pool_blocks"]
        assert 1 <= len(gets) == len(blocks) <= 2, "one for each server that has any"
        assert any(r.kind == "pool_put" for r in told)
        assert not ran(world, "offload_read") and ran(world, "pool_get")

    run(blueprint(TO_SERVERS), job)


@pytest.mark.parametrize("place", PLACES)
def test_who_is_preempted_reads_again_what_it_lost(place: str) -> None:
    """Four that grow to 6 blocks each on 14: whoever loses its blocks has them back."""

    async def job(world: VirtualWorld) -> None:
        wanted = [request(f"r{n}", prompt_ids=prompt(n, 40), max_tokens=50) for n in range(4)]
        for number, one in enumerate(await ask_all(world, wanted)):
            assert one.tokens == expected(number, 40, 50)
        counts = the_chip(world).counts
        assert counts["preemptions"] > 0 and counts["offload_saved_tokens"] > 0
        await settle(world)

    run(blueprint(PLACES[place]), job)


def test_a_block_that_changed_in_the_store_is_computed_again() -> None:
    """The third of six: two come back, and the rest is computed."""

    async def job(world: VirtualWorld) -> None:
        await ask_in_turn(world, "012")
        await settle(world)
        store: Any = the_offload(world)._store
        hashes: list[bytes] = []
        the_chip(world)._scheduler.blocks.extend_hashes(hashes, prompt(0, 100))
        store._blocks[hashes[2]].array.flat[0] += 1
        (heard,) = await ask_in_turn(world, "0")
        assert heard.tokens == expected(0, 100, 20)
        counts = the_chip(world).counts
        assert counts["offload_returned"] == 2 and counts["offload_failed"] == 1
        assert counts["offload_saved_tokens"] == 32
        await settle(world)

    run(blueprint(to_tier()), job)


def test_what_is_invalid_on_the_chip_is_invalid_in_the_store() -> None:
    async def job(world: VirtualWorld) -> None:
        await ask_in_turn(world, "01201")
        await settle(world)
        store, hashes = the_offload(world)._store, list[bytes]()
        blocks = the_chip(world)._scheduler.blocks
        blocks.extend_hashes(hashes, prompt(1, 100))
        assert store.num_leading(hashes) == 6 == len(blocks.match(hashes))
        blocks.invalidate(blocks.match(hashes)[3:])
        assert store.num_leading(hashes) == 3

    run(blueprint(to_tier()), job)


def test_the_store_keeps_to_its_capacity() -> None:
    """Of four blocks: the least recently used go, and what is left is too little to come back."""

    async def job(world: VirtualWorld) -> None:
        size = the_chip(world)._model.block_bytes
        heard = await ask_in_turn(world, "0120")
        assert heard[3].tokens == expected(0, 100, 20)
        store: Any = the_offload(world)._store
        counts = the_chip(world).counts
        assert store.bytes_held == 4 * size
        assert counts["offload_stored"] - counts["offload_store_evicted"] == 4
        store._blocks.check_integrity()
        await settle(world)

    num_bytes = run(blueprint(to_tier()), _block_bytes)
    run(blueprint(to_tier(capacity=f"{4 * num_bytes + 1} B")), job)


async def _block_bytes(world: VirtualWorld) -> int:
    return the_chip(world)._model.block_bytes


def test_what_was_asked_for_once_is_not_written_where_two_are_wanted() -> None:
    """0 comes twice while it is on the chip, so it is kept; 1 and 2 are not."""

    async def job(world: VirtualWorld) -> None:
        heard = await ask_in_turn(world, "0012012")
        assert [one.tokens for one in heard] == [expected(int(n), 100, 20) for n in "0012012"]
        counts = the_chip(world).counts
        assert counts["offload_refused"] > 0 < counts["offload_stored"]
        assert counts["offload_returned"] == 6
        await settle(world)

    run(blueprint(to_tier("second_use")), job)


def test_servers_that_do_not_answer_cost_time_and_no_request() -> None:
    """Their blocks come after the call was given up: the prompt is computed, and nothing of it is
    asked for again.
    """
    late = {"type": "latency", "kind": "pool_blocks", "attributes": {"latency": "400 ms"}}

    async def job(world: VirtualWorld) -> None:
        heard = await ask_in_turn(world, "0120")
        assert heard[3].tokens == expected(0, 100, 20)
        counts = the_chip(world).counts
        assert counts["offload_returned"] == 0 == counts["offload_saved_tokens"]
        assert counts["offload_failed"] == 6
        await settle(world)

    run(blueprint({**TO_SERVERS, "faults": [late]}), job)


def test_two_runs_are_the_same_run() -> None:
    async def job(world: VirtualWorld) -> str:
        await ask_in_turn(world, "0120")
        await settle(world)
        return world.trace.digest()

    assert run(blueprint(to_tier()), job) == run(blueprint(to_tier()), job)

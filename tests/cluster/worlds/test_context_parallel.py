"""Chips whose ranks hold slices of the same keys: one process's tokens, whatever happens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_ranks import answers, check_cut_short, of_digests
from tests.cluster.worlds.chips_of_ranks import expected as one_process
from tests.cluster.worlds.chips_of_slices import (
    SIZES,
    check_real_latent,
    expected,
    latent,
    served,
    split,
    wanted,
)
from tests.cluster.worlds.cluster import ask_all, blueprint, run, settle
from workers.model.digest.slices import DigestSlice


@pytest.mark.parametrize(
    ("tensor", "pipeline", "block_size", "span"),
    [(8, 1, 32, 16), (8, 2, 64, 16), (8, 1, 16, 8)],
)
def test_slices_give_one_process_tokens(
    tensor: int, pipeline: int, block_size: int, span: int
) -> None:
    changes = split(tensor, 2, pipeline, block_size)
    found, kinds = served({**changes, "model.micro_batches": 2}, through_frames=True)
    assert found == expected(span)
    assert kinds["piece"] and not kinds["kv_part"]


@pytest.mark.parametrize(("tensor", "context"), [(4, 4), (8, 2)])
def test_a_latent_is_cut_as_well(tensor: int, context: int, tmp_path: Path) -> None:
    model = latent(tmp_path)
    alone, _ = served({**split(1, 1, block_size=64), **model})
    assert served({**split(tensor, context, block_size=64), **model})[0] == alone


def changed(
    name: str, change: Callable[[Any], Any], every: int
) -> Callable[[pytest.MonkeyPatch], None]:
    """What a method of later slices returns is changed, now and then."""

    def plant(patched: pytest.MonkeyPatch) -> None:
        right, calls = getattr(DigestSlice, name), [0]

        def method(self: DigestSlice, *args: Any) -> Any:
            found = right(self, *args)
            calls[0] += 1
            return change(found) if calls[0] % every == 0 else found

        patched.setattr(DigestSlice, name, method)

    return plant


PLANTED = {
    "a slice's terms lost": changed("_found", np.zeros_like, 7),
    "queries of another token": changed("_written", lambda q: np.roll(q, 1, axis=0), 3),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_goes_wrong_between_slices_changes_the_text(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    PLANTED[name](monkeypatch)
    assert served(split(8, 2))[0] != expected(16)


@pytest.mark.parametrize(("tensor", "pipeline", "block_size"), [(8, 1, 16), (8, 2, 32)])
def test_real_slices_give_one_process_tokens(tensor: int, pipeline: int, block_size: int) -> None:
    changes = {**split(tensor, 2, pipeline, block_size, "real"), "model.micro_batches": 2}
    found, kinds = served(changes, through_frames=True)
    assert found == one_process()[: len(SIZES)]
    assert kinds["piece"]


def test_a_real_latent_is_cut_as_well(tmp_path: Path) -> None:
    check_real_latent(split(4, 4, 2, 16, "real"), tmp_path, 20)


@pytest.mark.parametrize("victim", ["chip-0", "chip-0-rank-3"])
@pytest.mark.parametrize("at_ns", [30_000, 170_000, 400_000])
def test_a_rank_that_dies_fails_its_chip_and_returns(victim: str, at_ns: int) -> None:
    """A slice that is lost takes the chip's KV along, and no token comes of the rest."""

    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(answers(world, "2-"), "ask")
        await world.clock.wait_until(world.clock.now() + at_ns)
        killed_ns = world.clock.now()
        await world.kill(victim)
        check_cut_short(await asked, of_digests(), killed_ns + world.blueprint.timeout_ns)
        await world.revive(victim)
        await settle(world)
        after = await answers(world, "2-after-")
        assert [one.tokens for one in after] == of_digests()
        await settle(world)

    run(blueprint(split(8, 2)), job)


def test_chunks_preemption_and_known_prefixes_change_no_token() -> None:
    """Blocks for fewer sequences than there are, prompts in chunks, asked twice."""
    changes = {
        **split(8, 2, block_size=32),
        "model.num_kv_blocks": 4,
        "model.max_model_len": 128,
        "model.max_num_batched_tokens": 24,
        "model.max_num_seqs": 8,
        "placement.reserve": "watermark",
    }

    sizes = tuple((i, 30, 12) for i in range(3))

    async def job(world: VirtualWorld) -> None:
        for name in ("first", "again"):
            asked = wanted(name, sizes)
            assert [one.tokens for one in await ask_all(world, asked)] == expected(16, sizes)
            await settle(world)
        noted = [r for r in world.trace.records if getattr(r, "what", "") == "preempted"]
        assert noted, "the blocks were to run out"

    run(blueprint(changes), job)

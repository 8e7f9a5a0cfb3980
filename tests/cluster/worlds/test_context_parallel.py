"""Chips whose ranks hold slices of the same keys (decode context parallelism): one process's
tokens, and times and messages by hand.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.worlds.virtual import VirtualWorld
from configs.presets import ROOT
from tests.cluster.worlds.chips_of_ranks import CHIP, NO_OTHERS, answers, of_digests
from tests.cluster.worlds.chips_of_ranks import expected as one_process
from tests.cluster.worlds.cluster import MODEL, ask_all, blueprint, prompt, request, run, settle
from tests.workers.model.models import DEEPSEEK_V3, write_model
from workers.host.trace import Delivered, Ran
from workers.model.digest.reference import reference_of
from workers.model.digest.slices import DigestSlice
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

SIZES = ((0, 40, 9), (1, 3, 5), (2, 70, 12), (3, 17, 6))


def split(
    tensor: int, context: int, pipeline: int = 1, block_size: int = 32, numerics: str = "digest"
) -> dict[str, object]:
    degrees = {
        "tensor_parallel_size": tensor,
        "decode_context_parallel_size": context,
        "pipeline_parallel_size": pipeline,
    }
    return {
        **NO_OTHERS,
        "placement.kv_pool": False,
        "model.numerics": numerics,
        "model.block_size": block_size,
        "cluster.nodes.chip": {**CHIP, **degrees},
    }


@cache
def expected(span: int, sizes: tuple[tuple[int, int, int], ...] = SIZES) -> list[list[int]]:
    plan = blueprint({"model.numerics": "digest"})
    section = plan.scenario.model
    reference = reference_of(plan.model, span, plan.scenario.seed, section.routing)
    wanted = [(i, n, SamplingParams(max_tokens=m, ignore_eos=True)) for i, n, m in sizes]
    return [list(reference.answer(prompt(i, length), how)) for i, length, how in wanted]


def served(
    changes: Mapping[str, object], *, through_frames: bool = False
) -> tuple[list[list[int]], Counter[str]]:
    """Tokens, and of each kind how many messages there were; of `piece` also the bytes."""

    async def job(world: VirtualWorld) -> tuple[list[list[int]], Counter[str]]:
        wanted = [
            request(f"r{i}", prompt_ids=prompt(i, length), max_tokens=count)
            for i, length, count in SIZES
        ]
        heard = await ask_all(world, wanted)
        assert not any(one.code for one in heard), heard
        await settle(world)
        heard_of = [r for r in world.trace.records if isinstance(r, Delivered)]
        found = Counter(one.kind for one in heard_of)
        found["piece bytes"] = sum(one.num_bytes for one in heard_of if one.kind == "piece")
        return [one.tokens for one in heard], found

    return run(blueprint(changes), job, through_frames=through_frames)


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


def latent(folder: Path) -> dict[str, object]:
    """DeepSeek-V3, small in experts and layers alone: one dense layer, then two sparse ones."""
    sizes = json.loads((ROOT / "scenarios" / "models" / "deepseek-v3.json").read_text())
    few = {"num_hidden_layers": 3, "first_k_dense_replace": 1, "n_routed_experts": 16}
    (folder / "config.json").write_text(json.dumps(sizes | few))
    return {
        "model.path": str(folder), "model.served_name": MODEL, "model.max_model_len": 512,
        "model.dtype": "bf16", "model.num_kv_blocks": 64,
    }  # fmt: skip


@pytest.mark.parametrize(("tensor", "context"), [(4, 4), (8, 2)])
def test_a_latent_is_cut_as_well(tensor: int, context: int, tmp_path: Path) -> None:
    model = latent(tmp_path)
    alone, _ = served({**split(1, 1, block_size=64), **model})
    assert served({**split(tensor, context, block_size=64), **model})[0] == alone


def test_links_are_charged_alike_in_all_numerics() -> None:
    """But for dispatches, as other experts are chosen."""
    real, digest, counts = (
        served(split(8, 2, numerics=numerics))[1] for numerics in ("real", "digest", "counts")
    )
    assert real["piece"] == digest["piece"] == counts["piece"] > 0
    assert real["piece bytes"] == digest["piece bytes"] == counts["piece bytes"]


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


def steps(changes: Mapping[str, object], length: int) -> tuple[list[Any], list[Any]]:
    """Launches and pieces of the last token of one request that is alone."""

    async def job(world: VirtualWorld) -> tuple[list[Any], list[Any]]:
        heard = await ask_all(world, [request("r", prompt_ids=prompt(0, length), max_tokens=2)])
        assert not heard[0].code
        await settle(world)
        records = world.trace.records
        ran = [one for one in records if isinstance(one, Ran)]
        last = [i for i, one in enumerate(ran) if one.work == "queries" and one.node == "chip-0"]
        begin_ns = ran[last[-3]].at_ns - ran[last[-3]].took_ns
        pieces = [r for r in records if isinstance(r, Delivered) and r.kind == "piece"]
        return (
            [one for one in ran if one.at_ns > begin_ns],
            [one for one in pieces if one.at_ns > begin_ns],
        )

    return run(blueprint(changes), job)


def test_times_and_bytes_by_hand(tmp_path: Path) -> None:
    """Three layers of a decode step after 200 tokens on 4 ranks of 32 of 128 heads, each with 16
    tokens of every 64. Queries are 576 wide, what is found 512 and one log-sum-exp, all in fp32;
    of the latent 576 numbers are kept, in bf16.
    """
    changes = {**split(4, 4, block_size=64), **latent(tmp_path)}
    node = blueprint(changes).plan.node("chip-0")
    link, device = node.link, node.device
    ran, pieces = steps(changes, 200)
    own = [one for one in ran if one.node == "chip-0"]
    names = [one.work for one in own if one.work in ("queries", "attention", "values")]
    assert names == ["queries", "attention", "values"] * 3

    head = 64 + len("chip-0 slices 0") + 8 + 4
    query, found = 32 * 576 * 4 + head, 32 * 513 * 4 + head
    sizes = Counter(one.num_bytes for one in pieces)
    assert sizes[query] == sizes[found] == 3 * 4 * 3, "of each rank to three others, three layers"

    # On an idle network three equal messages leave one after another. The leader is
    # ahead of the others in the first layer, by its order, and in the last, by what experts told
    # it: so of the second, which follows a sum over all ranks.
    byte_ns = 1e9 / link.bytes_per_s
    for before, after, size in (("queries", "attention", query), ("attention", "values", found)):
        first = [i for i, one in enumerate(own) if one.work == before][1]
        assert own[first + 1].work == after
        took_ns = own[first + 1].at_ns - own[first + 1].took_ns - own[first].at_ns
        by_hand_ns = link.startup_ns + link.latency_ns + 3 * size * byte_ns
        assert took_ns == pytest.approx(by_hand_ns, rel=0.01)

    # Of 201 tokens rank 0 has 3 x 16 and 9 more; the others 48 each. A launch waits for its bytes.
    tier = device.tiers["hbm"]
    byte_ns = 1e9 / (tier.read_bytes_per_s * tier.efficiency)
    for rank, here in (("chip-0", 57), ("chip-0-rank-1", 48), ("chip-0-rank-3", 48)):
        attention = next(one for one in ran if one.node == rank and one.work == "attention")
        reading_ns = attention.took_ns - device.launch_overhead_ns - tier.read_latency_ns
        assert reading_ns == pytest.approx(here * 576 * 2 * byte_ns, abs=1)


@pytest.mark.parametrize(("tensor", "pipeline", "block_size"), [(8, 1, 16), (8, 2, 32)])
def test_real_slices_give_one_process_tokens(tensor: int, pipeline: int, block_size: int) -> None:
    changes = {**split(tensor, 2, pipeline, block_size, "real"), "model.micro_batches": 2}
    found, kinds = served(changes, through_frames=True)
    assert found == one_process()[: len(SIZES)]
    assert kinds["piece"]


def test_a_real_latent_is_cut_as_well(tmp_path: Path) -> None:
    folder = write_model(tmp_path, sizes=DEEPSEEK_V3 | {"vocab_size": 512})
    reference, params = Reference(folder), SamplingParams(max_tokens=6, ignore_eos=True)
    right = [list(reference.generate(prompt(i, 20), params).token_ids) for i in range(3)]

    async def job(world: VirtualWorld) -> list[list[int]]:
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 20), max_tokens=6) for i in range(3)]
        return [one.tokens for one in await ask_all(world, wanted)]

    model = {"model.path": str(folder), "model.served_name": MODEL, "model.max_model_len": 128}
    assert run(blueprint({**split(4, 4, 2, 16, "real"), **model}), job) == right


@pytest.mark.parametrize("victim", ["chip-0", "chip-0-rank-3"])
@pytest.mark.parametrize("at_ns", [30_000, 170_000, 400_000])
def test_a_rank_that_dies_fails_its_chip_and_returns(victim: str, at_ns: int) -> None:
    """A slice that is lost takes the chip's KV along, and no token comes of the rest."""

    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(answers(world, "2-"), "ask")
        await world.clock.wait_until(world.clock.now() + at_ns)
        killed_ns = world.clock.now()
        await world.kill(victim)
        for one, right in zip(await asked, of_digests(), strict=True):
            assert one.code in ("", "peer_dead")
            assert one.code or one.tokens == right
            assert one.tokens == right[: len(one.tokens)]
            assert one.ended_ns <= killed_ns + world.blueprint.timeout_ns, "nothing hangs"
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
            wanted = [
                request(f"{name}{i}", prompt_ids=prompt(i, length), max_tokens=count)
                for i, length, count in sizes
            ]
            assert [one.tokens for one in await ask_all(world, wanted)] == expected(16, sizes)
            await settle(world)
        noted = [r for r in world.trace.records if getattr(r, "what", "") == "preempted"]
        assert noted, "the blocks were to run out"

    run(blueprint(changes), job)

"""Chips whose ranks hold slices of the same keys, asked the same, and what one process answers."""

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from cluster.api.request import Request
from cluster.worlds.virtual import VirtualWorld
from configs.presets import ROOT
from tests.cluster.worlds.chips_of_ranks import CHIP, NO_OTHERS
from tests.cluster.worlds.cluster import MODEL, ask_all, blueprint, prompt, request, run, settle
from tests.workers.model.models import DEEPSEEK_V3, write_model
from workers.host.trace import Delivered
from workers.model.digest.reference import reference_of
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


def group(
    tensor: int, context: int = 1, pipeline: int = 1, block_size: int | None = None
) -> dict[str, object]:
    """Of `cluster.nodes.<name>`: what is not left as it is."""
    sizes = {} if block_size is None else {"kv.block_size": block_size}
    return {
        "tensor_parallel_size": tensor,
        "decode_context_parallel_size": context,
        "pipeline_parallel_size": pipeline,
        **sizes,
    }


def apart(
    prefill: Mapping[str, object], decode: Mapping[str, object], numerics: str = "digest"
) -> dict[str, object]:
    """Chips of either group as `group` says."""
    groups = {"prefill": prefill, "decode": decode}
    changes = {
        f"cluster.nodes.{name}.{key}": value
        for name, each in groups.items()
        for key, value in each.items()
    }
    return {"placement.kv_pool": False, "model.numerics": numerics, **changes}


@cache
def expected(span: int, sizes: tuple[tuple[int, int, int], ...] = SIZES) -> list[list[int]]:
    plan = blueprint({"model.numerics": "digest"})
    section = plan.scenario.model
    reference = reference_of(plan.model, span, plan.scenario.seed, section.routing)
    asked = [(i, n, SamplingParams(max_tokens=m, ignore_eos=True)) for i, n, m in sizes]
    return [list(reference.answer(prompt(i, length), how)) for i, length, how in asked]


def wanted(name: str = "r", sizes: tuple[tuple[int, int, int], ...] = SIZES) -> list[Request]:
    """Requests of these prompts, lengths and numbers of tokens, as `expected` answers them."""
    return [
        request(f"{name}{i}", prompt_ids=prompt(i, length), max_tokens=count)
        for i, length, count in sizes
    ]


def served(
    changes: Mapping[str, object], *, through_frames: bool = False
) -> tuple[list[list[int]], Counter[str]]:
    """Tokens, and of each kind how many messages there were; of `piece` also the bytes. And how
    often KV that was to come was computed instead.
    """

    async def job(world: VirtualWorld) -> tuple[list[list[int]], Counter[str]]:
        heard = await ask_all(world, wanted())
        assert not any(one.code for one in heard), heard
        await settle(world)
        heard_of = [r for r in world.trace.records if isinstance(r, Delivered)]
        found = Counter(one.kind for one in heard_of)
        found["piece bytes"] = sum(one.num_bytes for one in heard_of if one.kind == "piece")
        notes = [r for r in world.trace.records if getattr(r, "what", "") == "kv recomputed"]
        found["kv recomputed"] = len(notes)
        return [one.tokens for one in heard], found

    return run(blueprint(changes), job, through_frames=through_frames)


def latent(folder: Path) -> dict[str, object]:
    """DeepSeek-V3, small in experts and layers alone: one dense layer, then two sparse ones."""
    sizes = json.loads((ROOT / "scenarios" / "models" / "deepseek-v3.json").read_text())
    few = {"num_hidden_layers": 3, "first_k_dense_replace": 1, "n_routed_experts": 16}
    (folder / "config.json").write_text(json.dumps(sizes | few))
    return {
        "model.path": str(folder), "model.served_name": MODEL, "model.max_model_len": 512,
        "model.dtype": "bf16", "model.num_kv_blocks": 64,
    }  # fmt: skip


def check_real_latent(changes: Mapping[str, object], folder: Path, length: int) -> None:
    """Three prompts of that length to a small DeepSeek-V3 of real numbers, written into `folder`:
    the tokens are those of one process.
    """
    path = write_model(folder, sizes=DEEPSEEK_V3 | {"vocab_size": 512})
    reference, params = Reference(path), SamplingParams(max_tokens=6, ignore_eos=True)
    right = [list(reference.generate(prompt(i, length), params).token_ids) for i in range(3)]

    async def job(world: VirtualWorld) -> list[list[int]]:
        asked = wanted(sizes=tuple((i, length, 6) for i in range(3)))
        return [one.tokens for one in await ask_all(world, asked)]

    model = {"model.path": str(path), "model.served_name": MODEL, "model.max_model_len": 128}
    assert run(blueprint({**changes, **model}), job) == right

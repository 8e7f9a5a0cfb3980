"""Chips of several ranks: their tokens beside one process (their steps: `parallel_by_hand`).

Expected, written before the first run:

- Not one token differs, whatever the degrees: hidden states have the same bits over any number of
  ranks; and where the reference's kernels round otherwise in the last bits, the smallest top-1
  margin (`benchmarks.exact`: hundreds of times an fp32 error) decides.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.exact import difference_row, expect
from benchmarks.network.parallel_by_hand import time_rows
from benchmarks.rows import Row
from benchmarks.runs import NUM_QUESTIONS, demo, questions, run_in_virtual
from cluster.api.request import Request
from cluster.workload.build import Workload
from cluster.workload.requests import TimedRequest
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

Degrees = tuple[int, int]  # tensor, pipeline
ONE: Degrees = (1, 1)
# (prefill, decode, decode chips, expert shards)
TINY: Sequence[tuple[Degrees, Degrees, int, int]] = (
    ((2, 1), (2, 1), 1, 4),
    ((4, 1), (4, 1), 1, 4),
    ((1, 2), (1, 2), 1, 4),
    ((1, 4), (1, 4), 1, 4),
    (ONE, ONE, 2, 4),
    ((2, 2), (2, 2), 2, 4),
    (ONE, (2, 1), 1, 4),
    ((2, 1), ONE, 1, 4),
    ((4, 1), (1, 4), 1, 4),
    ((1, 3), (1, 3), 1, 4),
    ((1, 3), (1, 2), 1, 4),
    ((4, 1), (8, 1), 1, 4),
    *((ONE, (2, 1), 1, shards) for shards in (1, 2, 3, 5, 6, 7, 8)),
)
RANDOM: Sequence[tuple[Degrees, Degrees]] = (
    ((2, 1), (2, 1)),
    ((4, 1), (4, 1)),
    ((1, 2), (1, 2)),
    ((1, 4), (1, 4)),
    (ONE, (2, 1)),
    ((2, 2), (4, 1)),
    ((1, 3), (2, 3)),
)
NUM_MODELS, NUM_PROMPTS, NUM_TOKENS = 3, 12, 12


def degrees(prefill: Degrees, decode: Degrees, chips: int, shards: int) -> dict[str, object]:
    changes: dict[str, object] = {
        "placement.kv_pool": False,
        "cluster.nodes.decode.count": chips,
        "cluster.nodes.experts.count": shards,
    }
    for group, (tensor, pipeline) in (("prefill", prefill), ("decode", decode)):
        changes[f"cluster.nodes.{group}.tensor_parallel_size"] = tensor
        changes[f"cluster.nodes.{group}.pipeline_parallel_size"] = pipeline
    return changes


def named(prefill: Degrees, decode: Degrees) -> str:
    return ", ".join(
        f"{group} TP {tensor} PP {pipeline}"
        for group, (tensor, pipeline) in (("prefill", prefill), ("decode", decode))
    )


def tiny_rows(sample: int = NUM_QUESTIONS) -> Iterator[Row]:
    """Every shipped question, with its retrieval."""
    one = Blueprint.draw(demo(NUM_QUESTIONS))
    expected = expect(one, questions(one, sample))
    for prefill, decode, chips, shards in TINY:
        changes = degrees(prefill, decode, chips, shards)
        blueprint = Blueprint.draw(demo(NUM_QUESTIONS, changes))
        where = f"{named(prefill, decode)} DP {chips} EP {shards}"
        run = run_in_virtual(blueprint, questions(blueprint, sample), where)
        yield difference_row(expected, run.answers, f"perfuse-tiny, {where}")[0]


# -- random models ---------------------------------------------------------------------------------


def random_model(seed: int, folder: Path) -> Path:
    """A small Qwen3-MoE whose 4 or 8 KV heads and 4 or 8 layers may be split in 4."""
    from transformers import Qwen3MoeConfig

    from benchmarks.random_models import MAX_CONTEXT, save_random_model

    rng = np.random.default_rng((seed, 14))

    def pick(*values: int) -> int:
        return int(rng.choice(values))

    kv_heads = pick(4, 8)
    config = Qwen3MoeConfig(  # type: ignore[call-arg]  # head_dim is taken as a further keyword
        vocab_size=pick(97, 256, 512),
        hidden_size=pick(48, 96, 128),
        intermediate_size=64,
        num_hidden_layers=pick(4, 8),
        num_attention_heads=kv_heads * pick(1, 2),
        num_key_value_heads=kv_heads,
        head_dim=pick(8, 16, 32),
        num_experts=pick(6, 8, 16),
        num_experts_per_tok=pick(1, 2, 4),
        moe_intermediate_size=pick(24, 40, 64),
        max_position_embeddings=MAX_CONTEXT,
        norm_topk_prob=bool(pick(0, 1)),
        tie_word_embeddings=bool(pick(0, 1)),
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    save_random_model(config, seed, folder, shards=False)
    return folder


def random_rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(NUM_MODELS):
            folder = random_model(seed, Path(scratch) / str(seed))
            yield from _rows_of(folder, seed)


def _rows_of(folder: Path, seed: int) -> Iterator[Row]:
    without = {
        "model.path": str(folder),
        "model.max_model_len": 128,
        "placement.collections": None,
        "workload.prompts.questions.retrieval": None,
    }
    rng = np.random.default_rng(seed)
    reference = Reference(folder)
    sampling = SamplingParams(max_tokens=NUM_TOKENS, ignore_eos=True)
    lengths, vocab = rng.integers(1, 90, size=NUM_PROMPTS), reference.config.vocab
    prompts = [tuple(rng.integers(vocab, size=length).tolist()) for length in lengths]
    right = [reference.generate(prompt, sampling) for prompt in prompts]
    margin = min(min(one.margins) for one in right)
    for prefill, decode in RANDOM:
        changes = {**degrees(prefill, decode, 1, 3), **without}
        blueprint = Blueprint.draw(load_scenario("demo", changes))
        asked = [
            TimedRequest(0, Request(f"r{i}", str(seed), sampling, prompt_ids=prompt))
            for i, prompt in enumerate(prompts)
        ]
        answers = run_in_virtual(blueprint, Workload(asked, concurrency=6), str(seed)).answers
        differing = [
            answer
            for answer, wanted in zip(answers, right, strict=True)
            if tuple(answer.token_ids) != wanted.token_ids
        ]
        sizes = f"{reference.config.num_kv_heads} KV heads, {reference.config.num_layers} layers"
        yield Row(
            f"answers that differ from one process, random model {seed}, {named(prefill, decode)}",
            len(differing),
            "",
            f"0 of {NUM_PROMPTS}",
            not differing,
            f"measured: {sizes}; smallest top-1 margin {margin:.2g}",
        )


def rows() -> Iterator[Row]:
    yield from time_rows()
    yield from random_rows()
    yield from tiny_rows()

"""Exact mode: a token's bits do not depend on who computes it, with whom, or in how many pieces.

Every comparison here is of bits, never within a tolerance.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from configs.families import load_model
from kernels import build_info
from tests.workers.model.models import DEEPSEEK_V2, DEEPSEEK_V3, SIZES, write_model
from workers.model.base import StepLayout, StepSequence
from workers.model.factory import open_chip, open_experts
from workers.model.parts.rows import (
    check_tiles,
    linear,
    linear_heads,
    rms_norm,
    silu_product,
    softmax_in_place,
)
from workers.model.plain.expert_model import PlainExpertModel
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

# Odd widths on purpose: nothing is a multiple of a vector register or a tile. Kernels want
# heads, or latents and rotated keys, of whole registers.
ODD: dict[str, dict[str, Any]] = {
    "Qwen3-MoE": SIZES | {"num_attention_heads": 6},
    "Qwen3-MoE on kernels": SIZES | {"num_attention_heads": 6, "head_dim": 48},
    "DeepSeek-V2": DEEPSEEK_V2 | {"num_attention_heads": 3, "num_key_value_heads": 3},
    "DeepSeek-V2 on kernels": DEEPSEEK_V2 | {"kv_lora_rank": 48, "qk_rope_head_dim": 16},
    "DeepSeek-V3": DEEPSEEK_V3 | {"q_lora_rank": 19, "kv_lora_rank": 17, "v_head_dim": 7},
    "DeepSeek-V3 on kernels": DEEPSEEK_V3
    | {"q_lora_rank": 19, "kv_lora_rank": 32, "qk_rope_head_dim": 16, "v_head_dim": 7},
}
WIDTHS = {"hidden_size": 36, "moe_intermediate_size": 20}
TOKENS = 150  # three attention spans, the last one in part
IDS = np.random.default_rng(5).integers(0, 61, TOKENS)


@pytest.fixture(scope="module", params=ODD)
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A model; while it is used, it is computed on kernels or it is not."""
    with pytest.MonkeyPatch.context() as patch:
        if "kernels" not in request.param:
            patch.setattr("workers.model.factory.lib", None)
        elif not build_info().native:
            pytest.skip("without the native library the kernels are no part of exact mode")
        yield write_model(tmp_path_factory.mktemp("exact"), sizes=ODD[request.param], **WIDTHS)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    return Reference(folder)


def on_kernels(reference: Reference) -> bool:
    return type(reference.chip).__name__ in ("NativeChipModel", "LatentChipModel")


def test_each_model_is_computed_as_its_name_says(
    request: pytest.FixtureRequest, reference: Reference
) -> None:
    assert on_kernels(reference) == ("kernels" in request.node.callspec.params["folder"])


@pytest.fixture(scope="module")
def whole(reference: Reference) -> np.ndarray:
    """Logits of all positions from one prefill of everything."""
    return reference.all_logits(IDS.tolist())


@given(st.integers(1, 40), st.integers(0, 39), st.integers(0, 2**32 - 1))
def test_rows_do_not_see_each_other(count: int, place: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    place %= count
    x_TH = rng.normal(size=(count, 36)).astype(np.float32) * 10 ** rng.uniform(-3, 3)
    weight = rng.normal(size=(36, 41)).astype(np.float32)
    alone = x_TH[place : place + 1].copy()
    gain, by_head = weight[:, 0].copy(), weight.reshape(3, 12, 41)
    for kernel in (
        lambda x: linear(x, weight),
        lambda x: linear_heads(x.reshape(-1, 3, 12), by_head),
        lambda x: rms_norm(x, gain, 1e-6),
        lambda x: softmax_in_place(x.copy()),
        lambda x: silu_product(x, x),
    ):
        assert_array_equal(kernel(x_TH)[place], kernel(alone)[0])


def test_each_head_has_its_own_matrix() -> None:
    rng = np.random.default_rng(3)
    x_TNH = rng.normal(size=(11, 3, 5)).astype(np.float32)
    weight_NHD = rng.normal(size=(3, 5, 7)).astype(np.float32)
    want = [[x_TNH[t, n] @ weight_NHD[n] for n in range(3)] for t in range(11)]
    np.testing.assert_allclose(linear_heads(x_TNH, weight_NHD), want, rtol=1e-5, atol=1e-5)


def test_tiles_are_checked_on_the_machine_at_hand() -> None:
    """A product whose rounding depends on the row's place is refused. Such a BLAS, imitated."""

    class Crooked(np.ndarray):
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
            plain = [np.asarray(i) for i in inputs]
            result = getattr(ufunc, method)(*plain, **keywords)
            if ufunc is np.matmul:
                result[..., 5, :] *= np.float32(1 + 1e-6)
            return result

    straight = np.ones((36, 3), dtype=np.float32)
    check_tiles([straight])
    with pytest.raises(RuntimeError, match="row 5"):
        check_tiles([straight.view(Crooked)])
    with pytest.raises(RuntimeError, match="row 5"):
        check_tiles([np.ones((2, 9, 3), dtype=np.float32).view(Crooked)])


def test_products_run_on_one_thread(folder: Path) -> None:
    """Threads would split a product otherwise on another machine. A model sees to it itself."""
    with threadpool_limits(limits=2, user_api="blas"):
        PlainExpertModel(folder, (0,))
        blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert blas
    assert [pool["num_threads"] for pool in blas] == [1] * len(blas)


@settings(max_examples=15)
@given(st.lists(st.integers(1, TOKENS - 1), max_size=8, unique=True))
def test_chunks_equal_the_whole(reference: Reference, whole: np.ndarray, cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), TOKENS]
    parts = []
    for start, end in pairwise(borders):
        x = reference.hidden(IDS[start:end].tolist(), start)
        parts.append(reference.chip.logits(x, np.arange(end - start)))
    assert_array_equal(np.concatenate(parts), whole)


def test_decode_token_by_token_equals_the_whole(reference: Reference, whole: np.ndarray) -> None:
    steps = [reference.step([int(token)], place) for place, token in enumerate(IDS)]
    assert_array_equal(np.stack(steps), whole)


@pytest.mark.parametrize("factor", [1, 8, 32, 64])
def test_block_size_changes_nothing(
    folder: Path, reference: Reference, whole: np.ndarray, factor: int
) -> None:
    """Windows are whole spans of 64 tokens, however many blocks make one; kernels take spans of 16
    and more.
    """
    block_size = max(factor, 16) if on_kernels(reference) else factor
    assert_array_equal(Reference(folder, block_size).all_logits(IDS.tolist()), whole)


@settings(max_examples=30)
@given(data=st.data())
def test_batches_equal_sequences_alone(
    folder: Path, reference: Reference, data: st.DataObject
) -> None:
    """Random sequences advance by random counts in shared steps, their blocks scattered; experts on
    several shards, whose sums are added in a random order."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    prompts = [
        rng.integers(0, 61, n)
        for n in data.draw(st.lists(st.integers(1, 140), min_size=1, max_size=5))
    ]
    alone = [reference.all_logits(ids.tolist()) for ids in prompts]
    size = 16
    chip = open_chip(folder, num_blocks=60, block_size=size)
    free = rng.permutation(60).tolist()
    tables = [tuple(free.pop() for _ in range(-(-len(ids) // size))) for ids in prompts]
    owner = rng.integers(0, 3, chip.config.num_experts)
    shards = [
        open_experts(folder, tuple(np.flatnonzero(owner == s).tolist()))
        for s in range(3)
        if (owner == s).any()
    ]
    done = [0] * len(prompts)
    while any(d < len(ids) for d, ids in zip(done, prompts, strict=True)):
        turn = [i for i in rng.permutation(len(prompts)).tolist() if done[i] < len(prompts[i])]
        turn = turn[: int(rng.integers(1, len(turn) + 1))]
        counts = [
            min(int(rng.choice([1, 1, 3, 17, 64, 100])), len(prompts[i]) - done[i]) for i in turn
        ]
        layout = StepLayout(
            tuple(StepSequence(tables[i], done[i], n) for i, n in zip(turn, counts, strict=True))
        )
        ids = np.concatenate(
            [prompts[i][done[i] : done[i] + n] for i, n in zip(turn, counts, strict=True)]
        )
        x = chip.embed(ids)
        for layer in range(chip.config.num_layers):
            x, moe = chip.attend(layer, x, layout)
            assert (moe is None) == chip.config.is_dense(layer)
            if moe is None:
                continue
            sums = np.zeros(x.shape)
            for shard in rng.permutation(len(shards)).tolist():
                sums += shards[shard].forward(layer, moe.hidden_TH, moe.experts_TK, moe.weights_TK)
            x = chip.merge(x, sums)
        logits = chip.logits(x, np.arange(len(ids)))
        row = 0
        for i, n in zip(turn, counts, strict=True):
            assert_array_equal(logits[row : row + n], alone[i][done[i] : done[i] + n])
            done[i], row = done[i] + n, row + n


def test_blocks_that_moved_to_another_chip_go_on_there(
    folder: Path, reference: Reference, whole: np.ndarray
) -> None:
    """Prefill here, copy the blocks elsewhere, decode there; stale blocks all around."""
    reference.hidden(IDS[:140].tolist(), 0)
    there = open_chip(folder, num_blocks=40)
    everything = tuple(range(40))
    zeros = there.read_blocks(everything)
    stale = np.full(zeros.nbytes // 4, 1e30, np.float32).view(zeros.dtype)
    there.write_blocks(everything, stale.reshape(zeros.shape))
    table = tuple(range(30, 20, -1))
    there.write_blocks(table[:9], reference.chip.read_blocks(tuple(range(9))))
    layout = StepLayout((StepSequence(table, 140, 1),))
    x = there.embed(IDS[140:141])
    for layer in range(there.config.num_layers):
        x, moe = there.attend(layer, x, layout)
        if moe is not None:
            x = there.merge(
                x, reference.experts.forward(layer, moe.hidden_TH, moe.experts_TK, moe.weights_TK)
            )
    assert_array_equal(there.logits(x, np.array([0]))[0], whole[140])


def test_blocks_are_copies_in_the_order_asked_for(folder: Path) -> None:
    chip = open_chip(folder, num_blocks=5)
    zeros = chip.read_blocks((3, 1))
    numbers = np.random.default_rng(0).normal(size=zeros.nbytes // 4).astype(np.float32)
    blocks = numbers.view(zeros.dtype).reshape(zeros.shape)
    assert blocks[0].nbytes == chip.block_bytes == 16 * chip.config.kv_bytes_per_token(4)
    chip.write_blocks((3, 1), blocks)
    assert_array_equal(chip.read_blocks((1, 3)), blocks[::-1])
    chip.read_blocks((1,))[:] = 0
    assert_array_equal(chip.read_blocks((1,))[0], blocks[1])
    with pytest.raises(ValueError, match=r"from 0 to 4"):
        chip.read_blocks((5,))
    with pytest.raises(ValueError, match="shape"):
        chip.write_blocks((0,), blocks)


def test_ids_of_others_add_nothing(folder: Path) -> None:
    shard = open_experts(folder, (1, 2))
    layer = shard.config.num_layers - 1
    hidden = np.random.default_rng(0).normal(size=(3, 36)).astype(np.float32)
    weights = np.array([[0.5, 0.5], [1.0, 0.0], [0.3, 0.7]], dtype=np.float32)
    ids = np.array([[1, 0], [-1, 3], [-1, 1]], dtype=np.int32)
    sums = shard.forward(layer, hidden, ids, weights)
    mine = np.array([[1], [1]], dtype=np.int32)
    only = shard.forward(layer, hidden[[0, 2]], mine, weights[[0, 2], [0, 1], None])
    assert sums.dtype == np.float64
    assert_array_equal(sums[[0, 2]], only)
    assert_array_equal(sums[1], np.zeros(36))


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    chip = open_chip(folder, num_blocks=3)
    x = chip.embed(np.array([1]))
    for sequence, words in (
        (StepSequence((0,), 16, 1), "1 blocks.*; it needs "),
        (StepSequence((7,), 0, 1), "from 0 to 2|there are 3 blocks"),
        (StepSequence((0, 1, 2, 0), 48, 1), "past the context of 48"),
    ):
        with pytest.raises(ValueError, match=words):
            chip.attend(0, x, StepLayout((sequence,)))
    with pytest.raises(ValueError, match="from 0 to 60"):
        chip.embed(np.array([61]))
    config = load_model(folder)
    with pytest.raises(ValueError, match=f"from 0 to {config.num_experts - 1}"):
        open_experts(folder, (0, config.num_experts))
    x_TH, one = np.zeros((1, 36), np.float32), np.zeros((1, 1), np.int32)
    for layer in (-1, config.dense_layers - 1, config.num_layers):
        words = f"layer {layer} has no experts; it must be from {config.dense_layers} to "
        with pytest.raises(ValueError, match=words):
            open_experts(folder, (0,)).forward(layer, x_TH, one, one.astype(np.float32))


def test_a_sampled_answer_repeats_itself(reference: Reference) -> None:
    """Same prompt, parameters and chance: same tokens, logprobs and logits."""
    params = SamplingParams(max_tokens=20, temperature=1.5, top_p=0.9, logprobs=2)
    draws = np.random.default_rng(1).uniform(size=20)

    def answer() -> Any:
        return reference.generate([1, 2, 3], params, True, lambda index: float(draws[index]))

    first, second = answer(), answer()
    assert first.choices == second.choices
    assert_array_equal(first.logits, second.logits)
    greedy = reference.generate([1, 2, 3], SamplingParams(max_tokens=20))
    assert greedy.token_ids != first.token_ids
    assert greedy.finish_reason == "length"


def test_stop_tokens_end_an_answer(folder: Path, reference: Reference) -> None:
    greedy = reference.generate([1, 2, 3], SamplingParams(max_tokens=20)).token_ids
    stop = greedy[4]
    params = SamplingParams(max_tokens=20, stop_token_ids=(stop,))
    stopped = reference.generate([1, 2, 3], params)
    assert stopped.token_ids == greedy[: greedy.index(stop) + 1]
    assert stopped.finish_reason == "stop"

"""Models in bf16, int8 and int4: no row sees another, bytes are as planned, errors bounded."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from configs.families import load_model
from configs.precision import EXACT, Precision
from tests.workers.model.models import (
    DEEPSEEK_V3,
    KERNEL_QWEN,
    KERNEL_V2,
    KERNEL_V3,
    SIZES,
    write_model,
)
from workers.model.base import StepLayout, StepSequence
from workers.model.factory import UnfitPrecision, open_chip, open_experts, open_whole
from workers.model.reference import Reference

# Sizes by family, and what makes all tokens visit all experts: then no choice can flip.
FAMILIES = {
    "Qwen3-MoE": (KERNEL_QWEN, {"num_experts_per_tok": 6}),
    "DeepSeek-V2": (KERNEL_V2, {"num_experts_per_tok": 8}),
    "DeepSeek-V3": (KERNEL_V3, {"num_experts_per_tok": 8, "topk_group": 4}),
}
# What a logit may be off: mean over positions and words, in standard deviations of the logits. Some
# 1.7 times what random models show whose tokens visit all experts. Random weights are the hardest
# case: nothing was trained to survive rounding. Latent attention rounds two more times between
# products, and a shared expert and a larger weight of the experts add theirs.
SPEEDS = {
    Precision("bf16", "bf16"): (0.016, 0.024),
    Precision("bf16", "int8"): (0.028, 0.034),
    Precision("int8", "bf16"): (0.06, 0.085),
    Precision("int8", "int8"): (0.065, 0.088),
    Precision("int4", "bf16"): (0.55, 0.77),
}


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes, _ = FAMILIES[request.param]
    return write_model(tmp_path_factory.mktemp("precision"), sizes=sizes)


@pytest.fixture(params=SPEEDS, ids=str)
def precision(request: pytest.FixtureRequest) -> Precision:
    chosen: Precision = request.param
    return chosen


def test_a_mixed_step_equals_sequences_alone(folder: Path, precision: Precision) -> None:
    """To the bit, on scattered blocks: one decodes, another's prompt comes in chunks."""
    rng = np.random.default_rng()
    model, step = open_whole(folder, 64, 16, precision)
    reference = Reference(folder, 16, precision=precision)
    a, b = (rng.integers(0, model.config.vocab, n).tolist() for n in (37, 50))
    first = StepLayout((StepSequence((0, 1, 2), 0, 36), StepSequence((5, 4, 9, 7), 0, 19)))
    step(model.embed(np.array(a[:36] + b[:19])), first)
    second = StepLayout((StepSequence((0, 1, 2), 36, 1), StepSequence((5, 4, 9, 7), 19, 31)))
    x = step(model.embed(np.array(a[36:] + b[19:])), second)
    logits = model.logits(x, np.array([0, 31]))
    np.testing.assert_array_equal(logits[0], reference.all_logits(a)[-1])
    np.testing.assert_array_equal(logits[1], reference.all_logits(b)[-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_errors_are_those_of_the_numbers(tmp_path: Path, family: str, precision: Precision) -> None:
    """Small, and not zero: a speed mode that has no error at all computes something else."""
    sizes, all_experts = FAMILIES[family]
    folder = write_model(tmp_path, sizes=sizes | all_experts)
    ids = np.random.default_rng(4).integers(0, sizes["vocab_size"], 120).tolist()
    exact = Reference(folder).all_logits(ids)
    error = np.abs(Reference(folder, precision=precision).all_logits(ids) - exact).mean()
    assert 1e-4 < error / exact.std() < SPEEDS[precision][family != "Qwen3-MoE"]


@pytest.mark.parametrize("chosen", [EXACT, *SPEEDS], ids=str)
def test_a_cache_takes_what_was_planned(folder: Path, chosen: Precision) -> None:
    config = load_model(folder)
    chip = open_chip(folder, 3, 32, chosen)
    assert chip.block_bytes == 32 * chosen.kv_bytes_per_token(config)
    assert chip.read_blocks((0, 2)).nbytes == 2 * chip.block_bytes


def test_shards_add_up(folder: Path, precision: Precision) -> None:
    """Sums of shards differ from the whole by fp32's rounding alone."""
    rng = np.random.default_rng()
    hidden = rng.normal(size=(5, 144)).astype(np.float32)
    ids = np.argsort(rng.random((5, 6)), axis=1)[:, :2].astype(np.int32)
    weights = rng.random((5, 2)).astype(np.float32)
    parts = [open_experts(folder, held, precision) for held in ((0, 4), (5, 1, 2, 3))]
    apart = sum(part.forward(1, hidden, ids, weights).astype(np.float64) for part in parts)
    whole = open_experts(folder, tuple(range(6)), precision).forward(1, hidden, ids, weights)
    np.testing.assert_allclose(apart, whole, rtol=1e-5, atol=1e-5)


def test_blocks_that_the_kernels_do_not_take_are_refused(folder: Path) -> None:
    with pytest.raises(UnfitPrecision, match="block_size is 24: it must be a multiple of 16"):
        open_chip(folder, 3, 24, Precision("bf16", "bf16"))


def test_models_that_the_kernels_do_not_take_are_refused(tmp_path: Path) -> None:
    bf16 = Precision("bf16", "bf16")
    narrow = write_model(tmp_path / "narrow", sizes=SIZES)
    with pytest.raises(UnfitPrecision, match="head_dim is 8"):
        open_chip(narrow, 3, 16, bf16)
    deepseek = write_model(tmp_path / "deepseek", sizes=DEEPSEEK_V3)
    with pytest.raises(UnfitPrecision, match="qk_rope_head_dim is 4: it must be a multiple of 16"):
        open_whole(deepseek, 3, 16, bf16)
    wide = write_model(tmp_path / "wide", sizes=KERNEL_V3, kv_lora_rank=24)
    with pytest.raises(UnfitPrecision, match=r"kv_lora_rank is 24: it must .* set dtype: fp32"):
        open_chip(wide, 3, 16, bf16)


def test_bytes_of_a_model(tmp_path: Path) -> None:
    """Gates and norms stay fp32; a tied head that is quantised is stored beside the embedding."""
    folder = write_model(tmp_path, sizes=KERNEL_QWEN)
    config = load_model(folder)
    numbers = config.chip_bytes(1)
    assert EXACT.chip_bytes(config) == 4 * numbers
    assert EXACT.shard_bytes(config, 3) == config.shard_bytes(3, 4)
    kept = 3 * (6 * 144 + 2 * 144 + 2 * 32) + 144
    assert Precision("bf16", "bf16").chip_bytes(config) == 2 * (numbers - kept) + 4 * kept
    table = 203 * 144
    layers = numbers - kept - 2 * table
    int8, int4 = Precision("int8", "int8"), Precision("int4", "int8")
    assert int8.chip_bytes(config) == layers + table + 2 * table + 4 * kept
    tied = dataclasses.replace(config, tie_embeddings=True)
    assert int8.chip_bytes(tied) == int8.chip_bytes(config)
    assert Precision("bf16").chip_bytes(config) - Precision("bf16").chip_bytes(tied) == 2 * table
    assert int4.expert_bytes(config) == 3 * 144 * 72 * 33 // 64
    assert int4.head_bytes(config) == table
    assert int4.kv_bytes_per_token(config) == 3 * 2 * (2 * 32 + 2 * 4)


@pytest.mark.parametrize("chosen", [EXACT, Precision("bf16", "int8")], ids=str)
def test_a_cache_beyond_this_machine_is_refused(folder: Path, chosen: Precision) -> None:
    """An emulated device may have more memory than we do."""
    with pytest.raises(ValueError, match=r"num_kv_blocks: \d+ KV blocks take .* set it lower"):
        open_chip(folder, 1 << 30, 16, chosen)


def test_bytes_of_a_latent_model(tmp_path: Path) -> None:
    """The bias of the choice stays fp32 too; int8 KV has a scale each of latent and rotated key."""
    config = load_model(write_model(tmp_path, sizes=KERNEL_V3))
    numbers = config.chip_bytes(1)
    kept = 3 * (2 * 144 + 20 + 48) + 2 * (8 * 144 + 8) + 144
    assert Precision("bf16", "bf16").chip_bytes(config) == 2 * (numbers - kept) + 4 * kept
    assert Precision("bf16", "int8").kv_bytes_per_token(config) == 3 * (48 + 16 + 2 * 4)
    assert Precision("bf16", "int8").pair_arithmetic(config) == "bf16"


def test_plain_arrays_beyond_this_machine_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="set it lower"):
        open_chip(folder, 1 << 40, 8)

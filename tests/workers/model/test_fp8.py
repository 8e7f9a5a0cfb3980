"""fp8 folders give the numbers that their publishers' own code makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors.torch import load_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize

from configs.checkpoint_files import SINGLE_FILE, CheckpointError
from configs.families import load_model
from configs.fp8 import Fp8
from tests.workers.model.fp8_models import (
    BLOCK,
    QUANTIZATION,
    Tensors,
    by_hand,
    quantise,
    write_fp8,
    write_tensors,
)
from tests.workers.model.models import DEEPSEEK_V3, KERNEL_QWEN, KERNEL_V3, SIZES, write_config
from workers.model.checkpoint import Checkpoint, verify
from workers.model.fp8_weights import NUMBERS
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams
from workers.model.tensors import tensor_shapes

MODELS = {
    "Qwen3-MoE": SIZES,
    "DeepSeek-V3": DEEPSEEK_V3,
    "Qwen3-MoE on kernels": KERNEL_QWEN,
    "DeepSeek-V3 on kernels": KERNEL_V3,
}
DOWN = "model.layers.1.mlp.experts.2.down_proj.weight"
GREEDY = SamplingParams(max_tokens=12)


def test_a_byte_means_what_it_means_to_torch() -> None:
    """All 256; 448 is the largest, 2^-9 the least, and two are NaN."""
    codes = torch.arange(256, dtype=torch.uint8)
    assert_array_equal(NUMBERS, codes.view(torch.float8_e4m3fn).float().numpy())
    assert [float(np.nanmax(NUMBERS)), *NUMBERS[[1, 0x38]].tolist()] == [448.0, 2.0**-9, 1.0]
    assert np.flatnonzero(np.isnan(NUMBERS)).tolist() == [0x7F, 0xFF]


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_weights_and_tokens_are_those_of_the_dequantised_folder(
    tmp_path: Path, name: str, shards: bool
) -> None:
    sizes = MODELS[name]
    folder = write_fp8(tmp_path / "small", tmp_path / "wide", sizes, shards=shards)
    config = load_model(folder)
    verify(folder, config)
    with Checkpoint(folder, config.fp8) as small, Checkpoint(tmp_path / "wide") as wide:
        for tensor, shape in tensor_shapes(config):
            read = small.read(tensor, shape)
            assert read.dtype == np.float32
            assert read.flags.writeable
            assert_array_equal(read, wide.read(tensor, shape))
    prompt = np.random.default_rng(1).integers(0, config.vocab, 70).tolist()
    ours, theirs = (Reference(f).generate(prompt, GREEDY) for f in (folder, tmp_path / "wide"))
    assert ours.token_ids == theirs.token_ids
    assert_array_equal(
        Reference(folder).all_logits(prompt), Reference(tmp_path / "wide").all_logits(prompt)
    )


def _one(folder: Path, tensors: Tensors, shape: tuple[int, int], fp8: Fp8) -> np.ndarray:
    folder.mkdir(exist_ok=True)
    write_tensors(folder, tensors)
    with Checkpoint(folder, fp8) as checkpoint:
        return checkpoint.read(DOWN, shape)


def _weight(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng((rows, columns)).normal(0, 0.02, (rows, columns)).astype("f4")


@pytest.mark.parametrize("shape", [(576, 256), (128, 128), (1, 1), (129, 127), (384, 300)])
def test_published_blocks_whole_and_ragged(tmp_path: Path, shape: tuple[int, int]) -> None:
    """576 rows are those of DeepSeek-V3's kv_a_proj_with_mqa: four blocks of 128 and a half."""
    codes, scales = quantise(_weight(*shape), 128, 128)
    assert tuple(scales.shape) == (-(-shape[0] // 128), -(-shape[1] // 128))
    tensors = {DOWN: codes, DOWN + "_scale_inv": scales}
    read = _one(tmp_path, tensors, shape, Fp8("block", 128, 128))
    assert_array_equal(read, by_hand(codes, scales, 128, 128))


def test_whole_blocks_are_those_of_transformers(tmp_path: Path) -> None:
    """It computes whole blocks only."""
    codes, scales = quantise(_weight(384, 256), 128, 128)
    theirs = Fp8Dequantize(None)._dequantize_one(codes, scales, torch.float32)
    tensors = {DOWN: codes, DOWN + "_scale_inv": scales}
    read = _one(tmp_path, tensors, (384, 256), Fp8("block", 128, 128))
    assert_array_equal(read, theirs.numpy())


@pytest.mark.parametrize(
    ("fp8", "shape", "dtype"),
    [
        (Fp8("tensor", scales=("weight_scale",)), (), torch.float32),
        (Fp8("tensor", scales=("weight_scale",)), (1,), torch.float32),
        (Fp8("row", scales=("weight_scale",)), (40, 1), torch.bfloat16),
        (Fp8("row", scales=("weight_scale",)), (40,), torch.float32),
    ],
)
def test_a_scale_for_a_projection_or_for_a_row(
    tmp_path: Path, fp8: Fp8, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    """ModelOpt's FP8, and compressed-tensors' by tensor and by channel."""
    codes = torch.from_numpy(_weight(40, 24) * 9000).to(torch.float8_e4m3fn)
    scales = (torch.arange(1, 41)[: int(np.prod(shape))] / 64).reshape(shape).to(dtype)
    read = _one(tmp_path, {DOWN: codes, DOWN + "_scale": scales}, (40, 24), fp8)
    assert_array_equal(read, (codes.float() * scales.float().reshape(-1, 1)).numpy())


def _changed(folder: Path, change: Any) -> CheckpointError:
    tensors = load_file(folder / SINGLE_FILE)
    change(tensors)
    write_tensors(folder, tensors)
    with pytest.raises(CheckpointError) as caught:
        _open(folder)
    return caught.value


def _open(folder: Path) -> None:
    """As a cluster does: headers first, then the numbers."""
    verify(folder, load_model(folder))
    Reference(folder)


def _nan(tensors: Tensors, name: str) -> None:
    tensors[name].view(torch.uint8).view(-1)[:4] = torch.tensor([0, 0, 0xC0, 0x7F]).byte()


SCALE = DOWN + "_scale_inv"
FAULTS: dict[str, tuple[Any, list[str]]] = {
    "no scales": (lambda t: t.pop(SCALE), [SCALE, "is missing", "needs its scales"]),
    "turned scales": (lambda t: t.update({SCALE: t[SCALE].T.contiguous()}), [SCALE, "(3, 2)"]),
    "one scale": (lambda t: t.update({SCALE: torch.ones(1)}), [SCALE, "(1,)", "(3, 2)"]),
    "NaN scale": (lambda t: _nan(t, SCALE), [SCALE, "a scale that is not finite"]),
    "NaN weight": (lambda t: _nan(t, DOWN), [DOWN, "a weight that is not finite"]),
    "wide weight": (
        lambda t: t.update({DOWN: t[DOWN].bfloat16()}),
        [DOWN, "has dtype BF16", "quantization_config", "F8_E4M3"],
    ),
    "four bits": (
        lambda t: t.update({DOWN: torch.zeros(40, 24, dtype=torch.uint8)}),
        [DOWN, "has dtype U8", "F8_E4M3"],
    ),
    "other fp8": (
        lambda t: t.update({DOWN: torch.zeros(40, 24).to(torch.float8_e5m2)}),
        [DOWN, "has dtype F8_E5M2", "F8_E4M3"],
    ),
    "whole numbers as scales": (
        lambda t: t.update({SCALE: torch.ones(3, 2, dtype=torch.int32)}),
        [SCALE, "has dtype I32", "F32"],
    ),
    "fp8 gate": (
        lambda t: t.update({"model.norm.weight": torch.ones(40).to(torch.float8_e4m3fn)}),
        ["model.norm.weight", "F8_E4M3", "F32, BF16, F16"],
    ),
    "a bias": (
        lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}),
        ["self_attn.q_proj.bias is there", "would be ignored"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_told_with_its_tensor(tmp_path: Path, fault: str) -> None:
    change, words = FAULTS[fault]
    folder = write_fp8(tmp_path / "small", tmp_path / "wide", SIZES | {"hidden_size": 40})
    text = str(_changed(folder, change))
    assert "\n" not in text
    for word in words:
        assert word in text


def test_fp8_without_settings_is_no_plain_weight(tmp_path: Path) -> None:
    folder = write_fp8(tmp_path / "small", tmp_path / "wide", SIZES)
    write_config(folder)
    with pytest.raises(CheckpointError, match=r"F8_E4M3; config\.json has no quantization_config"):
        verify(folder, load_model(folder))


def test_layers_for_multi_token_prediction_lie_beside(tmp_path: Path) -> None:
    """As DeepSeek-V3's model.layers.61, which its main model does not use."""
    folder = write_fp8(tmp_path / "small", tmp_path / "wide", DEEPSEEK_V3)
    ids = list(range(20))
    logits = Reference(folder).all_logits(ids)
    tensors = load_file(folder / SINGLE_FILE)
    for name in ("eh_proj.weight", "enorm.weight", "self_attn.q_a_proj.weight_scale_inv"):
        tensors[f"model.layers.3.{name}"] = torch.full((4, 4), 7.0)
    write_tensors(folder, tensors)
    write_config(folder, DEEPSEEK_V3, quantization_config=QUANTIZATION, num_nextn_predict_layers=1)
    verify(folder, load_model(folder))
    assert_array_equal(Reference(folder).all_logits(ids), logits)


def test_what_the_settings_keep_wide_is_wide(tmp_path: Path) -> None:
    folder = write_fp8(tmp_path / "small", tmp_path / "wide", SIZES)
    wide = load_file(tmp_path / "wide" / SINGLE_FILE)
    tensors = load_file(folder / SINGLE_FILE)
    for name in [n for n in tensors if n.endswith("o_proj.weight")]:
        tensors[name] = wide[name]
        del tensors[name + "_scale_inv"]
    write_tensors(folder, tensors)
    with pytest.raises(CheckpointError, match=r"o_proj\.weight has dtype F32; quantization_config"):
        verify(folder, load_model(folder))
    skip = QUANTIZATION | {"modules_to_not_convert": ["lm_head", "self_attn.o_proj"]}
    write_config(folder, quantization_config=skip)
    config = load_model(folder)
    assert config.fp8 == Fp8("block", BLOCK, BLOCK, wide=frozenset({"self_attn.o_proj"}))
    verify(folder, config)
    ids = list(range(30))
    assert_array_equal(
        Reference(folder).all_logits(ids), Reference(tmp_path / "wide").all_logits(ids)
    )

"""Weights are read lazily and exactly; whatever is wrong with a file is said with its name."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from configs.checkpoint_files import INDEX_FILE, SINGLE_FILE, CheckpointError
from configs.families import load_model
from tests.workers.model.models import (
    DEEPSEEK_V2,
    DEEPSEEK_V3,
    SIZES,
    random_weights,
    write_config,
    write_model,
    write_shards,
)
from workers.model.checkpoint import Checkpoint, verify
from workers.model.header import read_header
from workers.model.plain.expert_model import PlainExpertModel
from workers.model.tensors import tensor_shapes

DOWN = "model.layers.1.mlp.experts.2.down_proj.weight"


@pytest.mark.parametrize("sizes", [SIZES, DEEPSEEK_V2, DEEPSEEK_V3])
def test_one_file_and_shards_hold_the_same(tmp_path: Path, sizes: dict[str, Any]) -> None:
    one = write_model(tmp_path / "one", sizes=sizes)
    config = load_model(one)
    weights = random_weights(config)
    many = write_shards(write_config(tmp_path / "many", sizes), weights)
    for folder in (one, many):
        verify(folder, config)
        with Checkpoint(folder) as checkpoint:
            for name, shape in tensor_shapes(config):
                assert_array_equal(checkpoint.read(name, shape), weights[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_becomes_fp32_without_loss(tmp_path: Path, dtype: torch.dtype) -> None:
    stored = (torch.randn(7, 5, generator=torch.Generator().manual_seed(1)) * 3).to(dtype)
    save_torch_file({"before": torch.ones(3), "x": stored}, tmp_path / SINGLE_FILE)
    with Checkpoint(tmp_path) as checkpoint:
        read = checkpoint.read("x", (7, 5))
    assert read.dtype == np.float32
    assert read.flags.c_contiguous
    assert read.flags.writeable
    assert_array_equal(read, stored.float().numpy())


def test_a_shard_reads_its_own_experts_only(tmp_path: Path) -> None:
    """With one file a tensor, all files but those of expert 2 can be gone."""
    config = load_model(write_config(tmp_path))
    write_shards(tmp_path, random_weights(config))
    index = json.loads((tmp_path / INDEX_FILE).read_text(encoding="utf-8"))["weight_map"]
    for name, file in index.items():
        if ".experts.2." not in name:
            (tmp_path / file).unlink()
    assert PlainExpertModel(tmp_path, (2,)).expert_ids == (2,)
    first = index["model.layers.0.mlp.experts.3.gate_proj.weight"]
    with pytest.raises(CheckpointError, match=f"{first}: the file is missing"):
        PlainExpertModel(tmp_path, (2, 3))


def test_missing_tensor(tmp_path: Path) -> None:
    config = load_model(write_config(tmp_path))
    weights = random_weights(config)
    del weights[DOWN]
    save_file(weights, tmp_path / SINGLE_FILE)
    with pytest.raises(CheckpointError, match=rf"{SINGLE_FILE}: tensor {DOWN} is missing"):
        verify(tmp_path, config)
    (tmp_path / SINGLE_FILE).unlink()
    write_shards(tmp_path, weights)
    with pytest.raises(CheckpointError, match=rf"{INDEX_FILE}: weight_map does not name .*{DOWN}"):
        verify(tmp_path, config)


def test_wrong_shape_and_dtype(tmp_path: Path) -> None:
    config = load_model(write_config(tmp_path))
    weights = random_weights(config)
    right = weights[DOWN]
    save_file(weights | {DOWN: np.ascontiguousarray(right.T)}, tmp_path / SINGLE_FILE)
    with pytest.raises(CheckpointError, match=rf"{DOWN} has shape \(24, 32\).*\(32, 24\)"):
        verify(tmp_path, config)
    save_file(weights | {DOWN: right.astype(np.int64)}, tmp_path / SINGLE_FILE)
    with pytest.raises(CheckpointError, match=rf"{DOWN} has dtype I64.*F32, BF16, F16"):
        verify(tmp_path, config)


def test_missing_files(tmp_path: Path) -> None:
    config = load_model(write_config(tmp_path))
    with pytest.raises(CheckpointError, match=rf"{SINGLE_FILE}: the file is missing.*{INDEX_FILE}"):
        verify(tmp_path, config)
    write_shards(tmp_path, random_weights(config))
    (tmp_path / "part-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"part-00003\.safetensors: the file is missing"):
        verify(tmp_path, config)


@pytest.mark.parametrize("found", ["no map", {"x": 3}, {"x": "../elsewhere.safetensors"}])
def test_broken_index(tmp_path: Path, found: object) -> None:
    (tmp_path / INDEX_FILE).write_text(json.dumps({"weight_map": found}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"{INDEX_FILE}: weight_map"):
        Checkpoint(tmp_path)


def _small_file(folder: Path) -> Path:
    path = folder / SINGLE_FILE
    save_file({"x": np.arange(6, dtype=np.float32), "y": np.ones((2, 3), np.float32)}, path)
    return path


def test_every_truncation_is_told(tmp_path: Path) -> None:
    path = _small_file(tmp_path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=SINGLE_FILE):
            read_header(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(CheckpointError, match="corrupt"):
        read_header(path)


@given(data=st.data())
def test_damaged_headers_are_told_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One byte changes: a CheckpointError, or a header that still reads. Nothing else."""
    path = _small_file(tmp_path_factory.mktemp("damaged"))
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 49))  # 48 bytes of tensors
    whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    with suppress(CheckpointError), Checkpoint(path.parent) as checkpoint:
        assert checkpoint.read("x", (6,)).shape == (6,)

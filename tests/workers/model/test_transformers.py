"""Logits and greedy tokens are those of transformers; `benchmarks/logits.py` runs more models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3MoeForCausalLM
from transformers.utils import logging

from benchmarks.logits import (
    DIFFERENCE_MAX,
    NUM_TOKENS,
    compare,
    random_config,
    rows,
    save_random_model,
    their_logits,
)
from configs.model_config import CheckpointError, ModelConfig
from workers.model.checkpoint import verify
from workers.model.torch.reference import Reference


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    logging.disable_progress_bar()


@pytest.mark.parametrize("seed", range(100, 106))
def test_logits_and_greedy_tokens(tmp_path: Path, seed: int) -> None:
    """Even seeds are written to one file, odd ones to shards."""
    result = compare(seed, tmp_path)
    assert result.difference <= DIFFERENCE_MAX
    assert result.ours == result.theirs
    assert len(result.ours) == NUM_TOKENS
    assert all(row.holds for row in rows([result]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_checkpoints(tmp_path: Path, dtype: torch.dtype) -> None:
    """Weights as stored, arithmetic in fp32: what transformers does with dtype=float32."""
    model = save_random_model(random_config(7), 7, tmp_path / "fp32", shards=False)
    model.to(dtype).save_pretrained(tmp_path / "half", max_shard_size="40KB")
    config = ModelConfig.load(tmp_path / "half")
    assert config.dtype == str(dtype).removeprefix("torch.")
    verify(tmp_path / "half", config)
    ids = np.random.default_rng(7).integers(0, config.vocab, 70).tolist()
    ours = Reference(tmp_path / "half").all_logits(ids)
    # Read anew: `model` has rounded its rotary frequencies, too, which no file holds.
    theirs = Qwen3MoeForCausalLM.from_pretrained(tmp_path / "half", dtype=torch.float32).eval()
    assert np.abs(ours - their_logits(theirs, ids)).max() <= DIFFERENCE_MAX


def test_broken_checkpoints_are_refused_before_anything_starts(tmp_path: Path) -> None:
    save_random_model(random_config(1), 1, tmp_path, shards=True)
    config = ModelConfig.load(tmp_path)
    verify(tmp_path, config)
    shard = min(tmp_path.glob("model-*.safetensors"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=rf"{shard.name}: is truncated"):
        verify(tmp_path, config)
    shard.write_bytes(whole)
    values = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    values["moe_intermediate_size"] += 1
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(CheckpointError, match="has shape"):
        Reference(tmp_path)

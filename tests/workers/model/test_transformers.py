"""Logits and greedy tokens are those of transformers; `benchmarks/logits.py` runs more models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from benchmarks.logits import DIFFERENCE_MAX, NUM_TOKENS, compare, rows, their_logits
from benchmarks.random_models import FAMILIES, save_random_model
from configs.checkpoint_files import CheckpointError
from configs.families import load_model
from workers.model.checkpoint import verify
from workers.model.reference import Reference

# Even seeds are written to one file, odd ones to shards.
SEEDS = {"Qwen3-MoE": range(100, 106), "DeepSeek-V2": range(12), "DeepSeek-V3": range(12)}
COMPARED = [(family, seed) for family, seeds in SEEDS.items() for seed in seeds]


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    logging.disable_progress_bar()
    logging.set_verbosity_error()


@pytest.mark.parametrize(("family", "seed"), COMPARED)
def test_logits_and_greedy_tokens(tmp_path: Path, family: str, seed: int) -> None:
    result = compare(family, seed, tmp_path)
    assert result.difference <= DIFFERENCE_MAX
    assert result.ours == result.theirs
    assert len(result.ours) == NUM_TOKENS
    assert all(row.holds for row in rows(family, [result]))


@pytest.mark.parametrize("family", ["DeepSeek-V2", "DeepSeek-V3"])
def test_what_is_compared_has_every_feature(tmp_path: Path, family: str) -> None:
    """Each feature on and off among the models above: their equality says something of it."""
    found = []
    for seed in SEEDS[family]:
        FAMILIES[family](seed).save_pretrained(tmp_path)
        values = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
        values["architectures"] = [family.replace("DeepSeek-", "Deepseek") + "ForCausalLM"]
        (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
        found.append(load_model(tmp_path))
    mlas = [c.mla for c in found if c.mla is not None]
    yarns = [c.yarn for c in found if c.yarn is not None]
    assert len(mlas) == len(found)
    assert {m.q_rank is None for m in mlas} == {True, False}
    assert {c.shared_intermediate // c.moe_intermediate for c in found} == {0, 1, 2}
    assert {c.dense_layers > 0 for c in found} == {True, False}
    assert {c.gate.groups_kept < c.gate.num_groups for c in found} == {True, False}
    assert {c.gate.scaling > 1 for c in found} == {True, False}
    assert len({c.rms_eps for c in found}) == 2
    assert 0 < len(yarns) < len(found)
    assert {y.mscale is None for y in yarns} == {True, False}
    if family == "DeepSeek-V3":
        assert {m.interleaved for m in mlas} == {True, False}
        assert {c.norm_topk_prob for c in found} == {True, False}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # no shared experts
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_checkpoints(tmp_path: Path, family: str, dtype: torch.dtype) -> None:
    """Weights as stored, arithmetic in fp32: what transformers does with dtype=float32."""
    model = save_random_model(FAMILIES[family](7), 7, tmp_path / "fp32", shards=False)
    model.to(dtype).save_pretrained(tmp_path / "half", max_shard_size="40KB")
    config = load_model(tmp_path / "half")
    assert config.dtype == str(dtype).removeprefix("torch.")
    verify(tmp_path / "half", config)
    ids = np.random.default_rng(7).integers(0, config.vocab, 70).tolist()
    ours = Reference(tmp_path / "half").all_logits(ids)
    # Read anew: `model` has rounded its rotary frequencies, too, which no file holds.
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "half", dtype=torch.float32).eval()
    assert np.abs(ours - their_logits(theirs, ids)).max() <= DIFFERENCE_MAX


def test_broken_checkpoints_are_refused_before_anything_starts(tmp_path: Path) -> None:
    save_random_model(FAMILIES["Qwen3-MoE"](1), 1, tmp_path, shards=True)
    config = load_model(tmp_path)
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


YARNS = {
    "plain": {},
    "betas": {"beta_fast": 4.0, "beta_slow": 2.0},
    "a factor of its own": {"attention_factor": 1.75},
    "both constants": {"mscale": 0.8, "mscale_all_dim": 1.2},
    "stretched a little": {"factor": 1.25},
}


@pytest.mark.parametrize("name", YARNS)
def test_yarn_on_qwen(tmp_path: Path, name: str) -> None:
    """Past the original context, in both spellings of the settings."""
    config = FAMILIES["Qwen3-MoE"](3)
    scaling = {"factor": 4.0, "original_max_position_embeddings": 32, **YARNS[name]}
    config.rope_parameters = {"rope_type": "yarn", "rope_theta": 10_000.0, **scaling}
    model = save_random_model(config, 3, tmp_path, shards=False)
    ids = np.random.default_rng(3).integers(0, config.vocab_size, 120).tolist()
    theirs = their_logits(model, ids)
    ours = Reference(tmp_path).all_logits(ids)
    assert np.abs(ours - theirs).max() <= DIFFERENCE_MAX
    values = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    del values["rope_parameters"]
    values |= {"rope_theta": 10_000.0, "rope_scaling": {"type": "yarn", **scaling}}
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    assert np.array_equal(Reference(tmp_path).all_logits(ids), ours)
    del values["rope_scaling"]
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    assert np.abs(Reference(tmp_path).all_logits(ids) - theirs).max() > 10 * DIFFERENCE_MAX

"""What a config.json does not say, or says with a key that nobody knows: refused where it may
change a token.
"""

from pathlib import Path
from typing import Any

import pytest

from configs.checkpoint_files import CheckpointError
from configs.families.unknown import is_addition
from tests.configs.published import QWEN3_30B, V3
from tests.configs.test_published import read

QWEN, DEEPSEEK = QWEN3_30B, V3
ROTATED = {"rope_type": "default", "partial_rotary_factor": True}
REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (QWEN, {"logit_scale": True}, "logit_scale is True"),
    (QWEN, {"use_learned_query_scale": True}, "use_learned_query_scale is True"),
    (QWEN, {"residual_multiplier": 0}, "residual_multiplier is 0"),
    (QWEN, {"apply_rope": False}, "apply_rope is False"),
    (DEEPSEEK, {"use_rope": False}, "use_rope is False"),
    (DEEPSEEK, {"is_causal": False}, "is_causal is False"),
    (QWEN, {"rotary_dim": 0}, "rotary_dim is 0"),
    # Python has true for 1.
    (QWEN, {"decoder_sparse_step": True}, "decoder_sparse_step is True"),
    (DEEPSEEK, {"moe_layer_freq": True}, "moe_layer_freq is True"),
    (QWEN, {"use_qk_norm": 1}, "use_qk_norm is 1"),
    (QWEN, {"rope_parameters": ROTATED}, "partial_rotary_factor is True"),
]


@pytest.mark.parametrize(("values", "changes", "told"), REFUSED)
def test_what_may_change_a_token_is_refused(
    tmp_path: Path, values: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(CheckpointError, match=told):
        read(tmp_path, values, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"qkv_bias": False, "shared_expert_intermediate_size": 0, "use_mrope": False},
        {"add_cross_attention": False, "num_mtp_modules": 0, "attention_output_gate": False},
        {"chunk_size_feed_forward": 0, "logit_scale": 1.0, "rotary_dim": None},
    ],
)
def test_what_adds_nothing_is_passed_over(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert read(tmp_path, QWEN, **changes) == read(tmp_path / "plain", QWEN)


def test_a_window_is_refused_that_has_the_default_s_size(tmp_path: Path) -> None:
    """Of `transformers`: 4096 tokens where the key is absent; null says that there is none."""
    plain = {key: value for key, value in QWEN.items() if key != "sliding_window"}
    with pytest.raises(CheckpointError, match=r"use_sliding_window is True; .* 4096"):
        read(tmp_path, plain, use_sliding_window=True)
    for without in ({"use_sliding_window": False}, {}, {"sliding_window": None}):
        assert read(tmp_path, plain | without) == read(tmp_path, QWEN)
    assert read(tmp_path, QWEN, use_sliding_window=True, sliding_window=None).num_layers == 48


def test_names_of_additions() -> None:
    added = "use_sink use_bias attn_output_gate num_reward_heads n_hash_layers has_adapter"
    there = "scale_attn apply_rope is_causal use_norm use_moe num_experts normalize position_scale"
    assert all(map(is_addition, added.split()))
    assert not any(map(is_addition, there.split()))

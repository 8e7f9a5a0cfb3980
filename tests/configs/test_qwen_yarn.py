"""YaRN on Qwen3, as its model card has users add it."""

from pathlib import Path

import pytest

from configs.checkpoint_files import CheckpointError
from tests.configs.published import QWEN3_30B, V3
from tests.configs.test_published import read


def test_yarn_stretches_qwens_context(tmp_path: Path) -> None:
    """Qwen's model card adds rope_scaling and leaves 40,960 positions; vLLM serves 131,072."""
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    config = read(tmp_path, QWEN3_30B, rope_scaling=yarn)
    assert (config.max_context, config.rope_theta) == (131_072, 1e6)
    assert config.yarn is not None
    assert config.yarn.rotated_scale == pytest.approx(1.1386294)  # 0.1 ln 4 + 1
    newer = {"rope_scaling": ..., "rope_theta": ..., "rope_parameters": yarn | {"rope_theta": 1e6}}
    assert read(tmp_path, QWEN3_30B, **newer) == config
    with_null = yarn | {"attention_factor": None, "beta_fast": None, "mscale": None}
    assert read(tmp_path, QWEN3_30B, rope_scaling=with_null) == config
    own = read(tmp_path, QWEN3_30B, rope_scaling=yarn | {"attention_factor": 1.5})
    assert own.yarn is not None
    assert own.yarn.rotated_scale == 1.5
    # Without the original context nobody says that the stated one is not stretched already.
    assert (
        read(tmp_path, QWEN3_30B, rope_scaling={"type": "yarn", "factor": 4}).max_context == 40960
    )
    with pytest.raises(CheckpointError, match=r"rope_scaling\.attention_factor is 1.5"):
        read(tmp_path, V3, rope_scaling=V3["rope_scaling"] | {"attention_factor": 1.5})
    with pytest.raises(CheckpointError, match=r"rope_scaling\.factor is 1e\+30.*at most"):
        read(tmp_path, QWEN3_30B, rope_scaling=yarn | {"factor": 1e30})

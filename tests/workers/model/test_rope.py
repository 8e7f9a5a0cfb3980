"""Rotary frequencies are those of transformers, at the sizes of published models."""

from typing import Any

import numpy as np
import pytest
from transformers import DeepseekV3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from configs.rope import Yarn
from workers.model.parts.rope import yarn_frequencies

V3: dict[str, Any] = {"factor": 40.0, "original": 4096, "mscale": 1.0, "all_dim": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mscale": 0.707, "all_dim": 0.707},
        {"mscale": 0.8},
        {"mscale": None, "all_dim": None},
        {"factor": 1.0},
        {"beta_fast": 2.0, "beta_slow": 2.0},
        {"original": 7},  # the ramp's ends meet at the lowest dimension
        {"width": 4, "theta": 50_000.0},
    ],
)
def test_yarn(changes: dict[str, Any]) -> None:
    values = V3 | {"beta_fast": 32.0, "beta_slow": 1.0, "width": 64, "theta": 10_000.0} | changes
    parameters = {
        "rope_type": "yarn",
        "rope_theta": values["theta"],
        "factor": values["factor"],
        "original_max_position_embeddings": values["original"],
        "beta_fast": values["beta_fast"],
        "beta_slow": values["beta_slow"],
        "mscale": values["mscale"],
        "mscale_all_dim": values["all_dim"],
    }
    config = DeepseekV3Config(qk_rope_head_dim=values["width"], rope_parameters=parameters)
    wanted, scale = ROPE_INIT_FUNCTIONS["yarn"](config, None)
    yarn = Yarn(
        values["factor"],
        values["original"],
        values["beta_fast"],
        values["beta_slow"],
        values["mscale"],
        values["all_dim"],
    )
    # Their powers are fp32, one of theirs may differ in its last bit; ours are rounded once.
    found = yarn_frequencies(yarn, values["theta"], values["width"])
    np.testing.assert_allclose(found, wanted.numpy(), rtol=3e-7)
    assert yarn.rotated_scale == pytest.approx(scale, rel=1e-12)

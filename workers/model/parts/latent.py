"""How checkpoints lay out latent attention, whatever computes it."""

import numpy as np

from configs.attention import Mla
from configs.model_config import ModelConfig
from workers.model.parts.rows import Floats

# The norms of the latents have an epsilon of their own, whatever rms_norm_eps says: so in
# DeepSeek's code and in transformers, which both build them with the default of 1e-6.
LATENT_EPS = 1e-6


def halves(mla: Mla) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Order of the rotated numbers with each pair's first in the first half, as `Rope` turns."""
    order = np.arange(mla.rope_dim, dtype=np.int64)
    return order.reshape(-1, 2).T.ravel() if mla.interleaved else order


def queries_in_halves(mla: Mla, weight: Floats) -> Floats:
    """The queries' projection, [N * D, in], with the rotated rows in halves; overwritten."""
    heads = weight.reshape(mla.num_heads, mla.head_dim, -1)
    rotated = heads[:, mla.nope_dim :]
    heads[:, mla.nope_dim :] = rotated[:, halves(mla)]
    return weight


def score_scale(config: ModelConfig, mla: Mla) -> float:
    """Factor of the scores: 1 / sqrt(D), and YaRN's."""
    scale: float = mla.head_dim**-0.5
    return scale if config.yarn is None else scale * config.yarn.score_scale

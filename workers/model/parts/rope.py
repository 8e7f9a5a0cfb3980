"""Rotary positions: tables of cosines and sines, and turning with them.

A rotated vector's first half turns with its second. Families that store them in pairs have their
projections' outputs reordered when the weights are read: scores are sums over all of them, in
whatever order.
"""

import math

import numpy as np

from configs.model_config import ModelConfig
from configs.rope import Yarn
from workers.model.parts.positions import Indices
from workers.model.parts.rows import Floats


class Rope:
    """Angles of `width` rotated numbers for all positions from 0 to positions - 1.

    cosines, sines   [positions, width / 2] float32, YaRN's factor included
    """

    def __init__(self, config: ModelConfig, width: int, positions: int) -> None:
        self.positions = positions
        frequencies = plain_frequencies(config.rope_theta, width)
        scale = 1.0
        if config.yarn is not None:
            frequencies = yarn_frequencies(config.yarn, config.rope_theta, width)
            scale = config.yarn.rotated_scale
        # Angles are fp32 as in training; their cosines are taken in float64 and then rounded.
        angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
        wide = angles.astype(np.float64)
        self.cosines: Floats = (np.cos(wide) * scale).astype(np.float32)
        self.sines: Floats = (np.sin(wide) * scale).astype(np.float32)

    def rotate(self, x_TND: Floats, positions_T: Indices) -> Floats:
        """[T, heads, width], turned by each token's position."""
        # The same for all heads.
        cos, sin = (x[positions_T][:, None] for x in (self.cosines, self.sines))
        half = cos.shape[-1]
        first, second = x_TND[..., :half], x_TND[..., half:]
        out = np.empty(x_TND.shape, dtype=np.float32)
        np.multiply(first, cos, out=out[..., :half])
        out[..., :half] -= second * sin
        np.multiply(second, cos, out=out[..., half:])
        out[..., half:] += first * sin
        return out


def plain_frequencies(theta: float, width: int) -> Floats:
    """theta ** (-2i / width), [width / 2] fp32."""
    return np.float32(1.0) / _powers(theta, width)


def yarn_frequencies(yarn: Yarn, theta: float, width: int) -> Floats:
    """YaRN's, [width / 2] fp32, step by step as in transformers' `_compute_yarn_parameters`."""
    powers = _powers(theta, width)
    plain, stretched = (
        np.float32(1.0) / powers,
        np.float32(1.0) / (np.float32(yarn.factor) * powers),
    )
    low = max(math.floor(_dimension_that_turns(yarn.beta_fast, yarn, theta, width)), 0)
    high = min(math.ceil(_dimension_that_turns(yarn.beta_slow, yarn, theta, width)), width - 1)
    length = np.float32(high - low if high != low else 0.001)
    ramp = np.clip((np.arange(width // 2, dtype=np.float32) - np.float32(low)) / length, 0.0, 1.0)
    kept = np.float32(1.0) - ramp
    mixed: Floats = stretched * (np.float32(1.0) - kept) + plain * kept
    return mixed


def _powers(theta: float, width: int) -> Floats:
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    # float64 and then rounded: fp32 powers differ by machine, and a position multiplies the error.
    powers: Floats = (theta ** exponents.astype(np.float64)).astype(np.float32)
    return powers


def _dimension_that_turns(turns: float, yarn: Yarn, theta: float, width: int) -> float:
    """The dimension, not whole, that turns so many times within the original context."""
    wavelength = yarn.original_context / (turns * 2 * math.pi)
    return width * math.log(wavelength) / (2 * math.log(theta))

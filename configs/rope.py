"""YaRN: rotary positions stretched to a longer context (arXiv 2309.00071), as numbers.

`workers/model/plain/rope.py` makes the tables.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Yarn:
    """factor            how much longer the context became, >= 1
    original_context  positions that the model was first trained on
    beta_fast         dimensions that turn more often than this within them are left as they are
    beta_slow         those that turn less often are stretched in full; a ramp lies between
    mscale, mscale_all_dim   DeepSeek's two constants of the temperature; both or neither
    attention_factor   the factor on cosines and sines, where it does not follow from the others
    """

    factor: float
    original_context: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float | None = None
    mscale_all_dim: float | None = None
    attention_factor: float | None = None

    @property
    def rotated_scale(self) -> float:
        """Factor on cosines and sines."""
        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale is None or self.mscale_all_dim is None:
            return self._temperature(1.0)
        return self._temperature(self.mscale) / self._temperature(self.mscale_all_dim)

    @property
    def score_scale(self) -> float:
        """Factor on all scores of attention."""
        if self.mscale_all_dim is None:
            return 1.0
        return self._temperature(self.mscale_all_dim) ** 2

    def _temperature(self, mscale: float) -> float:
        return 0.1 * mscale * math.log(self.factor) + 1.0

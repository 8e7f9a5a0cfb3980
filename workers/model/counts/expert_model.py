"""Some experts of every sparse layer: who is asked for what, and nothing that comes of it.

Letters: T tokens, K experts a token.
"""

import numpy as np
from numpy.typing import NDArray

from workers.model.digest.mixing import Digests
from workers.model.parts.held_experts import HeldExperts


class CountedExperts(HeldExperts):
    """ExpertModel without numbers."""

    def forward(
        self,
        layer: int,
        hidden_TH: Digests,
        experts_TK: NDArray[np.int32],
        weights_TK: NDArray[np.float32],
    ) -> Digests:
        """[T] zeros. Raises ValueError on a layer that has no experts."""
        if self.config.is_dense(layer):
            raise ValueError(f"layer {layer} has no experts")
        return np.zeros(len(hidden_TH), dtype=np.uint64)

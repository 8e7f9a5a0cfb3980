"""The gate of a digest model: from a token's digest to its experts and their weights."""

import numpy as np
from numpy.typing import NDArray

from workers.model.base import MoeInput
from workers.model.digest.mixing import Digests, Weights, What, mixed, stepped
from workers.model.digest.routing import Routing

# A weight is a multiple of 2^-24 above 0 and up to 1: exact in fp32.
_WEIGHT_SHIFT, _WEIGHT_SCALE = np.uint64(40), np.float32(2.0**-24)


class Gate:
    """Of all sparse layers."""

    def __init__(self, weights: Weights, num_layers: int, top_k: int, routing: Routing) -> None:
        self._routing = routing
        self._gates = [weights.one(What.GATE, layer) for layer in range(num_layers)]
        self._places_K = stepped(np.arange(1, top_k + 1))

    def choose(self, layer: int, rows_T: Digests, positions_T: NDArray[np.int64]) -> MoeInput:
        """Experts and weights of each row; the rows are what travels."""
        gated_T = mixed(rows_T + self._gates[layer])
        drawn_TK = mixed(gated_T[:, None] + self._places_K) >> _WEIGHT_SHIFT
        weights_TK = (drawn_TK + np.uint64(1)).astype(np.float32) * _WEIGHT_SCALE
        experts_TK = self._routing.choose(layer, gated_T, positions_T)
        return MoeInput(rows_T, experts_TK, weights_TK)

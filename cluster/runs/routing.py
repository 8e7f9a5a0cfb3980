"""Which experts the tokens of a run chose, gathered for `perfuse run --record-routing`."""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from workers.experts.tokens import Tokens

# Rows of all layers that are kept; of a longer run the beginning counts.
ROWS_MAX = 1 << 24
_STEP = np.uint64(0x9E3779B97F4A7C15)


class RoutingRecorder:
    """Gathers a layer of a batch at a time; `Node.on_routed` takes it."""

    def __init__(self, model: ModelConfig) -> None:
        self._model, self._num_rows = model, 0
        self._keys: dict[int, list[NDArray[np.uint64]]] = {}
        self._experts: dict[int, list[NDArray[np.int32]]] = {}

    def take(self, tokens: Tokens) -> None:
        """Tokens that ask nobody (their sequence failed) are left out."""
        if self._num_rows >= ROWS_MAX:
            return
        whole = (tokens.experts_TK >= 0).all(axis=1)
        keys = tokens.requests_T ^ (tokens.positions_T.astype(np.uint64) * _STEP)
        self._keys.setdefault(tokens.layer, []).append(keys[whole])
        self._experts.setdefault(tokens.layer, []).append(tokens.experts_TK[whole])
        self._num_rows += int(whole.sum())

    @property
    def num_experts(self) -> int:
        return self._model.num_experts

    def table(self) -> NDArray[np.int32]:
        """Experts [tokens, sparse layers, K] of the tokens that went through all of them, each
        once, in an order that says nothing of when they came.
        """
        model = self._model
        layers = [n for n in range(model.num_layers) if not model.is_dense(n)]
        keys = [np.concatenate(self._keys.get(n, [np.empty(0, np.uint64)])) for n in layers]
        common = reduce(np.intersect1d, keys[1:], np.unique(keys[0]))
        table = np.empty((len(common), len(layers), model.top_k), dtype=np.int32)
        for place, (layer, found) in enumerate(zip(layers, keys, strict=True)):
            if len(common):
                known, first = np.unique(found, return_index=True)
                rows = first[np.searchsorted(known, common)]
                table[:, place] = np.concatenate(self._experts[layer])[rows]
        return table

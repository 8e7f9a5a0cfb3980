"""Some experts of every sparse layer, as digests.

Letters: T tokens, K experts a token.
"""

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from workers.model.digest.mixing import Digests, Weights, What
from workers.model.digest.shape import kv_units, name_of
from workers.model.digest.terms import expert_sums
from workers.model.parts.held_experts import HeldExperts
from workers.model.work import WorkModel


class DigestExperts(HeldExperts):
    """ExpertModel without weights: of each expert held, in each sparse layer, one digest.

    alike   an expert's digest is that of the place at which a token chose it (`Balanced`)

    Raises ValueError on ids that repeat, or that the model has not.
    """

    def __init__(
        self, config: ModelConfig, expert_ids: tuple[int, ...], work: WorkModel, *, alike: bool
    ) -> None:
        super().__init__(config, expert_ids, work)
        self._alike = alike
        # Of ids that are not held, and of nobody (-1: the last): none.
        self._slots_E = np.full(config.num_experts + 1, len(expert_ids), dtype=np.int64)
        self._slots_E[list(self.expert_ids)] = np.arange(len(expert_ids))
        self._digests: dict[int, Digests] = {}
        for layer in range(config.num_layers):
            if not config.is_dense(layer):
                self._digests[layer] = self._of_layer(layer)

    def _of_layer(self, layer: int) -> Digests:
        """By slot, or by place."""
        first, top_k = self.config.num_experts, self.config.top_k
        weights = Weights.of(name_of(self.config, kv_units(self.config)))
        if self._alike:
            return weights.slices(What.EXPERT, layer, range(first, first + top_k))
        every = weights.slices(What.EXPERT, layer, range(first))
        return np.append(every[list(self.expert_ids)], np.uint64(0))

    def forward(
        self,
        layer: int,
        hidden_TH: NDArray[np.uint64],
        experts_TK: NDArray[np.int32],
        weights_TK: NDArray[np.float32],
    ) -> Digests:
        """Sums over the experts held, [T]. Raises ValueError on a layer that has no experts."""
        digests = self._digests.get(layer)
        if digests is None:
            raise ValueError(f"layer {layer} has no experts")
        slots_TK = self._slots_E[experts_TK]
        chosen = digests if self._alike else digests[slots_TK]
        return expert_sums(hidden_TH, chosen, weights_TK, slots_TK < len(self.expert_ids))

    def by_expert(self) -> dict[tuple[int, int], Digests]:
        """(layer, expert) -> its digest, [1], where experts are not alike."""
        assert not self._alike, "an expert has no digest of its own"
        return {
            (layer, expert): digests[slot : slot + 1]
            for layer, digests in self._digests.items()
            for slot, expert in enumerate(self.expert_ids)
        }

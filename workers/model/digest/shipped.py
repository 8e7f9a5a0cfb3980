"""Digests of experts that are shipped to whoever computes them, a piece at a time.

A piece from value b to value e carries F(e) - F(b), where F(0) is nothing, F(all) the expert's
digest, and F of what lies between chance. So pieces add up to the expert however they are cut, and
one that is lost, comes twice or has changed gives another expert.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from workers.model.digest.mixing import STEP, Digests, mixed
from workers.model.digest.terms import expert_sums
from workers.model.shipped_experts import ExpertSizes


class ShippedDigests(ExpertSizes):
    """What is charged and declared is that of the real experts."""

    def piece(self, weights: Digests, begin: int, end: int) -> Digests:
        """[1]"""
        return self._until(weights, end) - self._until(weights, begin)

    def _until(self, weights: Digests, value: int) -> Digests:
        if value in (0, self.num_values):
            return weights * np.uint64(value > 0)
        return mixed(weights + np.uint64(value * STEP % 2**64))

    def buffer(self) -> Digests:
        return np.zeros(1, dtype=np.uint64)

    def put(self, buffer: Digests, begin: int, piece: Digests) -> None:
        buffer += piece

    def forward(
        self,
        weights: Mapping[int, Digests],
        hidden_TH: Digests,
        experts_TK: NDArray[np.int32],
        weights_TK: NDArray[np.float32],
    ) -> Digests:
        """As `DigestExperts.forward` of a shard that holds these experts."""
        ids = np.array(sorted(weights), dtype=np.int64)
        digests = np.concatenate([weights[expert] for expert in ids.tolist()])
        slots_TK = np.searchsorted(ids, experts_TK).clip(max=len(ids) - 1)
        here_TK = ids[slots_TK] == experts_TK
        return expert_sums(hidden_TH, digests[slots_TK], weights_TK, here_TK)

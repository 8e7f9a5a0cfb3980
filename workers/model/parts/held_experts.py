"""What all expert models have in common: which experts they hold, and the work that they declare.

Letters: T tokens, K experts a token.
"""

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from workers.hardware.work import Work
from workers.model.work import WorkModel


class HeldExperts:
    """expert_ids   of every sparse layer; kept in ascending order

    Raises ValueError on ids that repeat, or that the model has not.
    """

    def __init__(self, config: ModelConfig, expert_ids: tuple[int, ...], work: WorkModel) -> None:
        num_experts = config.num_experts
        is_known = all(0 <= expert < num_experts for expert in expert_ids)
        if len(set(expert_ids)) != len(expert_ids) or not is_known:
            raise ValueError(
                f"expert_ids are {expert_ids}; they must be distinct and from 0 to "
                f"{num_experts - 1}"
            )
        self.config, self._work = config, work
        self.expert_ids = tuple(sorted(expert_ids))

    def work(
        self, layer: int, experts_TK: NDArray[np.int32], there: frozenset[int] = frozenset()
    ) -> Work:
        """All layers ask for the same."""
        return self._work.experts(experts_TK, self.expert_ids, there)

    def read_work(self, expert: int) -> Work:
        return self._work.expert_read(expert)

"""How a router's gate chooses experts, as numbers; workers/model/plain/gating.py computes it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Gate:
    """Experts stand in groups of equal size; only those of the best groups can be chosen.

    scoring           "softmax": the probabilities of all experts. "sigmoid": each expert's by
                      itself; a bias is added to them for the choice alone, not for the weights
                      (DeepSeek-V3, arXiv 2412.19437, section 2.1.2)
    num_groups        1 where there is no choice of groups
    groups_kept       groups whose experts may be chosen
    group_best        a group's score is the sum of so many best scores of its experts
    scaling           factor on every weight
    """

    scoring: Literal["softmax", "sigmoid"] = "softmax"
    num_groups: int = 1
    groups_kept: int = 1
    group_best: int = 1
    scaling: float = 1.0

    @property
    def has_bias(self) -> bool:
        return self.scoring == "sigmoid"


# All experts in one group, chosen by their probabilities.
PLAIN_GATE = Gate()

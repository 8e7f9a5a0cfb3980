"""What a decoder's layers have in common."""

from dataclasses import dataclass

from kernels.numbers import Floats


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of grouped-query attention.

    eps      added to the mean square in every norm
    window   tokens that a query sees, its own among them; 0: all before it
    """

    hidden: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    eps: float
    window: int = 0


@dataclass(frozen=True, slots=True)
class Gate:
    """How a token's experts are chosen.

    sigmoid      scores are sigmoids of the logits, not their softmax
    normalise    weights of the chosen sum to one, before `scaling`
    groups       of experts; the best `groups_kept`, by the sum of their `group_best` best experts,
                 stay in the choice
    """

    num_experts: int
    top_k: int
    sigmoid: bool = False
    normalise: bool = True
    groups: int = 1
    groups_kept: int = 1
    group_best: int = 1
    scaling: float = 1.0


@dataclass(frozen=True, slots=True)
class LayerNorms:
    """Weights of a layer's norms, float32: input and post [H], q and k [head_dim].

    q carries the factor 1 / sqrt(head_dim) of the scores.
    """

    input: Floats
    q: Floats
    k: Floats
    post: Floats

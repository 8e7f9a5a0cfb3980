"""What a step's activations take of a machine's memory, counted from the model's sizes: the rows of
the residual stream, and beside them the widest that is there at one time.
"""

from configs.model_config import ModelConfig
from configs.precision import Precision

LOGIT_BYTES = 4  # of any model: they are computed, scaled and drawn from in fp32


def chip_activation_bytes(
    config: ModelConfig, precision: Precision, num_tokens: int, num_seqs: int
) -> int:
    """A chip's step of so many tokens, and logits for so many sequences: attention's queries, keys,
    values and what comes of them, or gate and up of the network that every token visits.
    """
    attention = 2 * (config.query_width + config.kv_width)
    network = 2 * max(config.dense_intermediate, config.shared_intermediate)
    widest = 2 * config.hidden + max(attention, network)
    return num_tokens * widest * _number_bytes(precision) + num_seqs * config.vocab * LOGIT_BYTES


def shard_activation_bytes(
    config: ModelConfig, precision: Precision, num_tokens: int, num_experts: int
) -> int:
    """A shard's part of such a step at most: each token with as many of its experts as it chooses,
    in and out, gate and up.
    """
    rows = num_tokens * min(config.top_k, num_experts)
    return rows * 2 * (config.hidden + config.moe_intermediate) * _number_bytes(precision)


def _number_bytes(precision: Precision) -> int:
    return 4 if precision.exact else 2

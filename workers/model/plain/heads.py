"""Tensors of a layer, cut to what a tensor-parallel rank holds."""

import numpy as np

from configs.heads import Heads
from configs.model_config import ModelConfig
from workers.model.parts.rows import Floats


def cut(heads: Heads, config: ModelConfig, name: str, tensor: Floats) -> Floats:
    """A tensor of a layer of `config`, the whole model, with the rows or columns of these heads,
    and of networks beside experts the same share of what is inside; others stay whole.
    """
    queries, mla = heads.queries(config), config.mla
    keys = range(heads.first, heads.first + heads.count)
    match name.removesuffix(".weight").split("."):
        case ["self_attn", "q_proj" | "q_b_proj"]:
            return tensor[_of(queries, config.head_dim)]
        case ["self_attn", "k_proj" | "v_proj"]:
            return tensor[_of(keys, config.head_dim)]
        case ["self_attn", "kv_b_proj"] if mla is not None:
            return tensor[_of(queries, mla.nope_dim + mla.value_dim)]
        case ["self_attn", "o_proj"]:
            width = config.head_dim if mla is None else mla.value_dim
            return np.ascontiguousarray(tensor[:, _of(queries, width)])
        case ["mlp", *_, "gate_proj" | "up_proj"]:
            return tensor[_inside(queries, config, len(tensor))]
        case ["mlp", *_, "down_proj"]:
            return np.ascontiguousarray(tensor[:, _inside(queries, config, tensor.shape[1])])
        case _:
            return tensor


def _of(numbers: range, width: int) -> slice:
    """Rows of some heads, each of so many."""
    return slice(numbers.start * width, numbers.stop * width)


def _inside(queries: range, config: ModelConfig, inner: int) -> slice:
    """The share of a network's inner width that these heads are of all: its own rank's, as all
    ranks have as many.
    """
    return slice(*(inner * head // config.num_heads for head in (queries.start, queries.stop)))

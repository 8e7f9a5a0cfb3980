"""Tensors of a layer, cut to the heads that a tensor-parallel rank holds."""

import numpy as np

from configs.model_config import ModelConfig
from configs.parts import Heads
from workers.model.parts.rows import Floats

__all__ = ["Heads", "cut"]


def cut(heads: Heads, config: ModelConfig, name: str, tensor: Floats) -> Floats:
    """A tensor of a layer of `config`, the whole model, with the rows or columns of these heads;
    others stay whole.
    """
    keys = _width(heads, config.head_dim)
    queries = _width(heads, config.head_dim * (config.num_heads // config.num_kv_heads))
    match name:
        case "self_attn.q_proj.weight":
            return tensor[queries]
        case "self_attn.k_proj.weight" | "self_attn.v_proj.weight":
            return tensor[keys]
        case "self_attn.o_proj.weight":
            return np.ascontiguousarray(tensor[:, queries])
        case _:
            return tensor


def _width(heads: Heads, of_one: int) -> slice:
    return slice(heads.first * of_one, (heads.first + heads.count) * of_one)

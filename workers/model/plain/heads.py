"""Some heads of every layer: what a tensor-parallel rank holds."""

from dataclasses import dataclass, replace

import numpy as np

from configs.model_config import ModelConfig
from workers.model.parts.rows import Floats


@dataclass(frozen=True, slots=True)
class Heads:
    """KV heads first .. first + count - 1, and the query heads that look at them."""

    first: int
    count: int

    def part_of(self, config: ModelConfig) -> ModelConfig:
        """The sizes of a model that has these heads alone: so declared work, KV blocks and weights
        of a rank are counted from what it holds.

        Raises ValueError where the model has no such heads, or more than attention would be split.
        """
        if config.mla is not None or config.dense_layers or config.shared_intermediate:
            raise ValueError(
                f"{config.architecture} is not split by heads: only models with grouped-query "
                "attention and no network beside their experts are"
            )
        if not 0 <= self.first < self.first + self.count <= config.num_kv_heads:
            raise ValueError(
                f"KV heads {self.first} to {self.first + self.count - 1} are asked for; the model "
                f"has 0 to {config.num_kv_heads - 1}"
            )
        num_heads = self.count * _queries_a_head(config)
        return replace(config, num_heads=num_heads, num_kv_heads=self.count)

    def cut(self, config: ModelConfig, name: str, tensor: Floats) -> Floats:
        """A layer's tensor, with the rows or columns of these heads; others stay whole."""
        keys = self._width(config.head_dim)
        queries = self._width(config.head_dim * _queries_a_head(config))
        match name:
            case "self_attn.q_proj.weight":
                return tensor[queries]
            case "self_attn.k_proj.weight" | "self_attn.v_proj.weight":
                return tensor[keys]
            case "self_attn.o_proj.weight":
                return np.ascontiguousarray(tensor[:, queries])
            case _:
                return tensor

    def _width(self, of_one: int) -> slice:
        return slice(self.first * of_one, (self.first + self.count) * of_one)


def _queries_a_head(config: ModelConfig) -> int:
    """Query heads that share one KV head."""
    return config.num_heads // config.num_kv_heads

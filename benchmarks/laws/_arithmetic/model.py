"""Sizes of a Qwen3-MoE in fp32, and the experts that its gates choose."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FP32 = 4


@dataclass(frozen=True)
class Model:
    """`folder` is a checkpoint as Hugging Face lays it out."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        return found

    def __getattr__(self, name: str) -> int:
        """hidden_size, num_hidden_layers, num_experts, num_experts_per_tok ..."""
        return int(self.config[name])

    @property
    def kv_token_bytes(self) -> int:
        """Key and value of one token in one layer."""
        return 2 * self.num_key_value_heads * self.head_dim * FP32

    @property
    def head_bytes(self) -> int:
        return self.vocab_size * self.hidden_size * FP32

    @property
    def expert_bytes(self) -> int:
        """Gate, up and down projection."""
        return 3 * self.hidden_size * self.moe_intermediate_size * FP32

    @property
    def expert_flops(self) -> int:
        """Of one token: a multiplication and an addition for each weight."""
        return 6 * self.hidden_size * self.moe_intermediate_size

    @property
    def layer_weights(self) -> int:
        """Query, key, value, output and gate."""
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        return self.hidden_size * (2 * queries + 2 * keys + self.num_experts)

    @property
    def layer_bytes(self) -> int:
        """With two norms of the row, and one of a head's query and of its key."""
        return (self.layer_weights + 2 * self.hidden_size + 2 * self.head_dim) * FP32

    def attention_flops(self, start: int, count: int) -> int:
        """Each new token meets all keys up to its own: a product for the score, one for the sum."""
        pairs = count * start + count * (count + 1) // 2
        queries = self.num_attention_heads * self.head_dim
        return 2 * count * self.layer_weights + pairs * 4 * queries

    @cached_property
    def _transformers(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(1)
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder)

    def routes(self, token_ids: list[int]) -> NDArray[np.int64]:
        """[layer, token, k]: the experts that each token is for."""
        import torch

        with torch.no_grad():
            answer = self._transformers(torch.tensor([token_ids]), output_router_logits=True)
        layers = [gate.reshape(len(token_ids), -1) for gate in answer.router_logits]
        chosen = [layer.topk(self.num_experts_per_tok).indices.numpy() for layer in layers]
        return np.stack(chosen).astype(np.int64)

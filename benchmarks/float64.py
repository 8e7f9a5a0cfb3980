"""Qwen3-MoE in float64 numpy, straight from the checkpoint: what fp32 is compared with.

It shares no code with the workers. Letters: T tokens, H hidden, N query heads, G KV heads, D head
width, E experts, V vocabulary.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from configs.families import load_model

Float64 = NDArray[np.float64]


def _norm(x: Float64, weight: Float64, eps: float) -> Float64:
    scaled: Float64 = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight
    return scaled


def _softmax(x: Float64) -> Float64:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Float64 = powers / powers.sum(axis=-1, keepdims=True)
    return shares


class Float64Model:
    """One forward pass over a whole sequence, without a cache."""

    def __init__(self, folder: Path) -> None:
        self.config = load_model(folder)
        self._weights: dict[str, Float64] = {}
        for path in sorted(folder.glob("*.safetensors")):
            for name, weight in load_file(path).items():
                self._weights[name] = weight.astype(np.float64)

    def _weight(self, layer: int, name: str) -> Float64:
        return self._weights[f"model.layers.{layer}.{name}.weight"]

    def logits(self, token_ids: list[int]) -> Float64:
        """After every token, [T, V]."""
        embedding, eps = self._weights["model.embed_tokens.weight"], self.config.rms_eps
        x_TH = embedding[np.asarray(token_ids)]
        for layer in range(self.config.num_layers):
            normed = _norm(x_TH, self._weight(layer, "input_layernorm"), eps)
            x_TH = x_TH + self._attention(layer, normed)
            normed = _norm(x_TH, self._weight(layer, "post_attention_layernorm"), eps)
            x_TH = x_TH + self._experts(layer, normed)
        head = self._weights.get("lm_head.weight", embedding)
        out: Float64 = _norm(x_TH, self._weights["model.norm.weight"], eps) @ head.T
        return out

    def _heads(self, layer: int, name: str, x_TH: Float64, norm: str) -> Float64:
        """[head, T, D]: projected, normed and rotated where `norm` names a norm."""
        width = self.config.head_dim
        x_NTD: Float64 = (
            (x_TH @ self._weight(layer, f"self_attn.{name}").T)
            .reshape(len(x_TH), -1, width)
            .swapaxes(0, 1)
        )
        if not norm:
            return x_NTD
        x_NTD = _norm(x_NTD, self._weight(layer, f"self_attn.{norm}"), self.config.rms_eps)
        half = width // 2
        rates = self.config.rope_theta ** -(np.arange(half) / half)
        angles = np.arange(len(x_TH))[:, None] * rates
        cos, sin = np.cos(angles), np.sin(angles)
        first, second = x_NTD[..., :half], x_NTD[..., half:]
        return np.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)

    def _attention(self, layer: int, x_TH: Float64) -> Float64:
        query = self._heads(layer, "q_proj", x_TH, "q_norm")
        key = self._heads(layer, "k_proj", x_TH, "k_norm")
        value = self._heads(layer, "v_proj", x_TH, "")
        shared = len(query) // len(key)
        key, value = key.repeat(shared, axis=0), value.repeat(shared, axis=0)
        scores = query @ key.swapaxes(1, 2) / np.sqrt(self.config.head_dim)
        later = np.triu(np.ones((len(x_TH), len(x_TH)), dtype=bool), k=1)
        mixed = _softmax(np.where(later, -np.inf, scores)) @ value
        joined = mixed.swapaxes(0, 1).reshape(len(x_TH), -1)
        out: Float64 = joined @ self._weight(layer, "self_attn.o_proj").T
        return out

    def _experts(self, layer: int, x_TH: Float64) -> Float64:
        shares_TE = _softmax(x_TH @ self._weight(layer, "mlp.gate").T)
        best = np.argsort(-shares_TE, axis=1, kind="stable")[:, : self.config.top_k]
        out = np.zeros_like(x_TH)
        for token, chosen in enumerate(best):
            shares = shares_TE[token, chosen]
            if self.config.norm_topk_prob:
                shares = shares / shares.sum()
            for expert, share in zip(chosen, shares, strict=True):
                out[token] += share * self._expert(layer, int(expert), x_TH[token])
        return out

    def _expert(self, layer: int, expert: int, x_H: Float64) -> Float64:
        gate, up, down = (
            self._weight(layer, f"mlp.experts.{expert}.{name}")
            for name in ("gate_proj", "up_proj", "down_proj")
        )
        gated = gate @ x_H
        out: Float64 = down @ (gated / (1 + np.exp(-gated)) * (up @ x_H))
        return out

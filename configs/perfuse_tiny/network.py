"""A differentiable Qwen3-MoE decoder in plain torch, and its export to the Hugging Face format.

Shapes in the comments: B sequences, T tokens, D hidden width, H query heads, K key/value heads,
d head width, E experts, I expert width, N = B * T rows.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from configs.perfuse_tiny.tokenizer import CONTEXT, END_ID, PAD_ID, VOCABULARY


@dataclass(frozen=True)
class Shape:
    """Sizes of the model."""

    width: int = 128
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    head_width: int = 32
    experts: int = 8
    experts_per_token: int = 2
    expert_width: int = 64
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6

    def hugging_face(self) -> dict[str, object]:
        """Return the contents of config.json."""
        return {
            "architectures": ["Qwen3MoeForCausalLM"],
            "model_type": "qwen3_moe",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": None,
            "decoder_sparse_step": 1,
            "eos_token_id": END_ID,
            "head_dim": self.head_width,
            "hidden_act": "silu",
            "hidden_size": self.width,
            "initializer_range": 0.02,
            "intermediate_size": 2 * self.expert_width,
            "max_position_embeddings": CONTEXT,
            "max_window_layers": self.layers,
            "mlp_only_layers": [],
            "moe_intermediate_size": self.expert_width,
            "norm_topk_prob": True,
            "num_attention_heads": self.heads,
            "num_experts": self.experts,
            "num_experts_per_tok": self.experts_per_token,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "output_router_logits": False,
            "pad_token_id": PAD_ID,
            "rms_norm_eps": self.norm_eps,
            "rope_scaling": None,
            "rope_theta": self.rope_theta,
            "router_aux_loss_coef": 0.001,
            "sliding_window": None,
            "tie_word_embeddings": True,
            "torch_dtype": "float32",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": VOCABULARY,
        }


def _weight(*size: int) -> nn.Parameter:
    """Return a weight with variance 1 / inputs (the last dimension)."""
    return nn.Parameter(torch.randn(*size) * size[-1] ** -0.5)


def rope_tables(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines [T, d] of the rotary embedding (two equal halves)."""
    half = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
    angles = torch.outer(torch.arange(length).float(), shape.rope_theta**-half)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotary embedding to x [B, heads, T, d]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Grouped-query causal attention with RMS-normed queries and keys."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
        self.q_proj = _weight(queries, shape.width)
        self.k_proj = _weight(keys, shape.width)
        self.v_proj = _weight(keys, shape.width)
        self.o_proj = nn.Parameter(torch.zeros(shape.width, queries))
        self.q_norm = nn.Parameter(torch.full((shape.head_width,), 1.5))
        self.k_norm = nn.Parameter(torch.full((shape.head_width,), 1.5))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Map x [B, T, D] to [B, T, D]; padding is on the right, so causality hides it."""
        s, (batch, length, _) = self.shape, x.shape
        query = F.linear(x, self.q_proj).view(batch, length, s.heads, s.head_width)
        key = F.linear(x, self.k_proj).view(batch, length, s.kv_heads, s.head_width)
        value = F.linear(x, self.v_proj).view(batch, length, s.kv_heads, s.head_width)
        query = F.rms_norm(query, (s.head_width,), self.q_norm, s.norm_eps).transpose(1, 2)
        key = F.rms_norm(key, (s.head_width,), self.k_norm, s.norm_eps).transpose(1, 2)
        repeats = s.heads // s.kv_heads
        mixed = F.scaled_dot_product_attention(
            rotate(query, cos, sin),
            rotate(key, cos, sin).repeat_interleave(repeats, dim=1),
            value.transpose(1, 2).repeat_interleave(repeats, dim=1),
            is_causal=True,
        )
        return F.linear(mixed.transpose(1, 2).reshape(batch, length, -1), self.o_proj)


class Experts(nn.Module):
    """Top-k routed SwiGLU experts; rows are sorted by expert so each expert is one matmul."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.gate = _weight(shape.experts, shape.width)
        self.gate_proj = _weight(shape.experts, shape.expert_width, shape.width)
        self.up_proj = _weight(shape.experts, shape.expert_width, shape.width)
        self.down_proj = nn.Parameter(torch.zeros(shape.experts, shape.width, shape.expert_width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x [B, T, D] to its output [B, T, D] and the load-balancing loss (1 if even)."""
        s = self.shape
        rows = x.reshape(-1, s.width)
        probabilities = F.linear(rows, self.gate).float().softmax(-1)  # [N, E]
        weights, chosen = probabilities.topk(s.experts_per_token, dim=-1)  # [N, k]
        weights = weights / weights.sum(-1, keepdim=True)
        order = chosen.flatten().argsort(stable=True)  # [N * k], grouped by expert
        counts = torch.bincount(chosen.flatten(), minlength=s.experts)
        source = order // s.experts_per_token
        outputs = [
            F.linear(F.silu(F.linear(part, gate)) * F.linear(part, up), down)
            for part, gate, up, down in zip(
                rows.index_select(0, source).split(counts.tolist()),
                self.gate_proj,
                self.up_proj,
                self.down_proj,
                strict=True,
            )
        ]
        mixed = torch.cat(outputs) * weights.flatten()[order, None].to(x.dtype)
        result = torch.zeros_like(rows, dtype=mixed.dtype).index_add(0, source, mixed)
        share = counts.float() / counts.sum()
        return result.view(x.shape), s.experts * (share * probabilities.mean(0)).sum()


class Block(nn.Module):
    """Pre-norm attention and experts with residual connections."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.input_layernorm = nn.Parameter(torch.ones(shape.width))
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.Parameter(torch.ones(shape.width))
        self.mlp = Experts(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Map x [B, T, D] to [B, T, D]; also return the load-balancing loss."""
        size, eps = (self.shape.width,), self.shape.norm_eps
        x = x + self.self_attn(F.rms_norm(x, size, self.input_layernorm, eps), cos, sin)
        mixed, balance = self.mlp(F.rms_norm(x, size, self.post_attention_layernorm, eps))
        return x + mixed, balance


class Network(nn.Module):
    """The decoder: token ids to logits, with tied embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Parameter(torch.randn(VOCABULARY, shape.width) * 0.1)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))
        cos, sin = rope_tables(shape, CONTEXT)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.cos: Tensor
        self.sin: Tensor

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Map ids [B, T] to logits [B, T, V]; also return the mean load-balancing loss."""
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        x = F.embedding(ids, self.embed_tokens)
        balances = []
        for layer in self.layers:
            x, balance = layer(x, cos, sin)
            balances.append(balance)
        x = F.rms_norm(x, (self.shape.width,), self.norm, self.shape.norm_eps)
        return F.linear(x, self.embed_tokens), torch.stack(balances).mean()


def hugging_face_state(network: Network) -> dict[str, Tensor]:
    """Return the weights under their Hugging Face names, every expert's on its own, in fp32."""
    state: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        if ".mlp." in name and name.endswith("_proj"):
            prefix, projection = name.rsplit(".", 1)
            for index, expert in enumerate(tensor):
                state[f"model.{prefix}.experts.{index}.{projection}.weight"] = expert
        else:
            state[f"model.{name}.weight"] = tensor
    return {name: t.detach().float().contiguous().clone() for name, t in state.items()}


def export(network: Network, folder: Path) -> None:
    """Write config.json and model.safetensors (the tied output matrix is not repeated)."""
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(network.shape.hugging_face(), indent=2) + "\n"
    (folder / "config.json").write_text(config, encoding="utf-8")
    state = hugging_face_state(network)
    weights = folder / "model.safetensors"
    save_file(state, weights, metadata={"format": "pt"})
    weights.chmod(0o644)


def load_exported(folder: Path) -> Network:
    """Return the network that ``export`` wrote (of the default shape)."""
    network = Network(Shape())
    state = load_file(folder / "model.safetensors")
    for name, tensor in network.state_dict().items():
        if ".mlp." in name and name.endswith("_proj"):
            prefix, projection = name.rsplit(".", 1)
            names = [f"model.{prefix}.experts.{i}.{projection}.weight" for i in range(len(tensor))]
            tensor.copy_(torch.stack([state[name] for name in names]))
        else:
            tensor.copy_(state[f"model.{name}.weight"])
    return network

"""Routed experts of the 0.7 B model that end-to-end runs use: decode, and prefill of a chunk."""

import re
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.kernels.case import DISTINCT_BYTES, Case
from kernels import moe
from kernels.numbers import KINDS, Kind

HIDDEN, INNER, EXPERTS, TOP_K = 1024, 512, 32, 4
BARS: dict[Kind, int] = {"bf16": 85, "int8": 80, "int4": 70}
CHUNK = 512
PREFILL_BARS: dict[Kind, int] = {"bf16": 50, "int8": 50}
OPERATIONS = 2 * 3 * HIDDEN * INNER  # of a pair of token and expert
PREFILL_LAYERS = 4  # tens of milliseconds; each expert sees 64 rows, and reading bounds nothing


def moe_cases(rng: np.random.Generator, chosen: re.Pattern[str]) -> Iterator[Case]:
    """Decode of 1, 4 and 16 tokens through layers of experts, routed at random in each.

    A pass of one token is as many steps as read every expert of every layer once. A single step of
    it, few experts, is over in milliseconds, before a machine with other guests has settled.
    """
    for kind in KINDS:
        if not chosen.search(f"moe {kind}"):
            continue
        layers = moe_layers(rng, kind)
        twins = torch_layers(len(layers)) if kind == "bf16" else []
        for tokens in (1, 4, 16):
            hidden = rng.standard_normal((tokens, HIDDEN)).astype(np.float32)
            once, bytes_a_pair = moe_once(rng, layers, hidden)
            yield Case(
                f"MoE decode {kind}, {tokens} tokens",
                once,
                kind,
                OPERATIONS / bytes_a_pair,
                BARS.get(kind),
                twin=torch_moe_once(rng, twins, hidden) if twins else None,
            )
        hidden = rng.standard_normal((CHUNK, HIDDEN)).astype(np.float32)
        once, bytes_a_pair = moe_once(rng, layers[:PREFILL_LAYERS], hidden)
        yield Case(
            f"MoE prefill {kind}, {CHUNK} tokens",
            once,
            kind,
            OPERATIONS / bytes_a_pair,
            PREFILL_BARS.get(kind),
            twin=torch_moe_once(rng, twins[:PREFILL_LAYERS], hidden) if twins else None,
        )


def moe_layers(rng: np.random.Generator, kind: Kind) -> list[moe.Experts]:
    """Enough layers; values repeat from layer to layer, memory does not."""
    wide, tall = (INNER, HIDDEN), (HIDDEN, INNER)
    gate, up, down = (rng.standard_normal(s).astype(np.float32) / 32 for s in (wide, wide, tall))
    layers: list[moe.Experts] = []
    while not layers or len(layers) * EXPERTS * layers[0].expert_bytes < DISTINCT_BYTES:
        layer = moe.Experts(kind, EXPERTS, HIDDEN, INNER)
        for slot in range(EXPERTS):
            layer.set(slot, gate, up, down)
        layers.append(layer)
    return layers


def routes(rng: np.random.Generator, tokens: int) -> np.ndarray:
    """[T, TOP_K]: distinct experts for each token."""
    return np.argsort(rng.random((tokens, EXPERTS)), axis=1)[:, :TOP_K].astype(np.int32)


def steps_of_routes(rng: np.random.Generator, tokens: int, layers: int) -> list[list[np.ndarray]]:
    """[step][layer][T, TOP_K]: one token's steps share out a layer's experts, none named twice."""
    if tokens > 1:
        return [[routes(rng, tokens) for _ in range(layers)]]
    shared = [
        rng.permutation(EXPERTS).astype(np.int32).reshape(-1, 1, TOP_K) for _ in range(layers)
    ]
    return [list(step) for step in zip(*shared, strict=True)]


def moe_once(
    rng: np.random.Generator, layers: list[moe.Experts], hidden: np.ndarray
) -> tuple[Callable[[], int], float]:
    """A pass, and the bytes of weights that it reads for each pair of token and expert."""
    weights = np.full((len(hidden), TOP_K), 1 / TOP_K, dtype=np.float32)
    dtype = np.float64 if layers[0].kind == "fp32" else np.float32
    out = np.empty(hidden.shape, dtype=dtype)
    steps = steps_of_routes(rng, len(hidden), len(layers))
    active = [len(np.unique(experts)) for step in steps for experts in step]
    num_bytes = sum(active) * layers[0].expert_bytes

    def once() -> int:
        for step in steps:
            for layer, experts in zip(layers, step, strict=True):
                moe.forward(layer, hidden, experts, weights, out)
        return num_bytes

    return once, num_bytes / sum(experts.size for step in steps for experts in step)


def torch_layers(num: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Gate and up side by side, and down, of all experts of a layer."""
    up = torch.randn(EXPERTS, 2 * INNER, HIDDEN).bfloat16() / 32
    down = torch.randn(EXPERTS, HIDDEN, INNER).bfloat16() / 32
    return [(up.clone(), down.clone()) for _ in range(num)]


def torch_moe_once(
    rng: np.random.Generator, layers: list[tuple[torch.Tensor, torch.Tensor]], hidden: np.ndarray
) -> Callable[[], int]:
    """Hugging Face's loop over the experts that are hit."""
    x = torch.from_numpy(hidden).bfloat16()
    steps = [
        [torch.from_numpy(experts) for experts in step]
        for step in steps_of_routes(rng, len(hidden), len(layers))
    ]

    def once() -> int:
        moved = 0
        for step in steps:
            for (up, down), experts in zip(layers, step, strict=True):
                moved += torch_layer(x, up, down, experts)
        return moved

    return once


def torch_layer(
    x: torch.Tensor, up: torch.Tensor, down: torch.Tensor, experts: torch.Tensor
) -> int:
    """One layer of one step; returns the bytes of the weights that it had to read."""
    out = torch.zeros_like(x)
    hit = experts.unique().tolist()
    for expert in hit:
        rows = (experts == expert).nonzero()[:, 0]
        gate, value = torch.nn.functional.linear(x[rows], up[expert]).chunk(2, dim=-1)
        inner = torch.nn.functional.silu(gate) * value
        share = torch.nn.functional.linear(inner, down[expert]) * (1 / TOP_K)
        out.index_add_(0, rows, share)
    return len(hit) * 3 * HIDDEN * INNER * 2

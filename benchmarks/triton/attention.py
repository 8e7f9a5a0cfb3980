"""Decode attention over a paged cache, GQA and absorbed MLA."""

import math

import torch

from benchmarks.triton.case import Case, differs
from kernels.attention import twin
from kernels.mla import twin as mla_twin

BLOCK_SIZE = 64


def scattered(device: torch.device, sequences: int, tokens: int) -> torch.Tensor:
    """Blocks of each sequence, anywhere in a cache that has no other: [S, B]."""
    count = tokens // BLOCK_SIZE
    order = torch.randperm(sequences * count, device=device, dtype=torch.int32)
    return order.view(sequences, count)


def plain(
    q_C: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float
) -> torch.Tensor:
    """One head in float64."""
    shares = torch.softmax(keys.double() @ q_C.double() * scale, dim=0)
    return shares @ values.double()


def gqa_case(
    device: torch.device, sequences: int, tokens: int, heads: int, kv_heads: int, width: int
) -> Case:
    blocks = scattered(device, sequences, tokens)
    shape = (blocks.numel(), kv_heads, BLOCK_SIZE, width)
    keys, values = (torch.randn(shape, dtype=torch.bfloat16, device=device) for _ in range(2))
    q = torch.randn((sequences, heads, width), dtype=torch.bfloat16, device=device)
    lengths = torch.full((sequences,), tokens, dtype=torch.int32, device=device)

    def call() -> torch.Tensor:
        return twin.decode(q, keys, values, blocks, lengths)[0]

    def wrong(out: torch.Tensor) -> str:
        own, kv_head = blocks[-1].long(), kv_heads - 1
        k, v = (part[own, kv_head].reshape(tokens, width) for part in (keys, values))
        return differs(out[-1, -1], plain(q[-1, -1], k, v, 1 / math.sqrt(width)))

    name = f"GQA decode bf16, {heads}/{kv_heads} heads of {width}, {sequences} x {tokens:,} tokens"
    moved = 2 * 2 * keys.numel() + 2 * q.numel() + 4 * q.numel()
    return Case(name, moved, call, wrong)


def mla_case(
    device: torch.device, sequences: int, tokens: int, heads: int, latent: int, rope: int
) -> Case:
    blocks = scattered(device, sequences, tokens)
    width, scale = latent + rope, 1 / math.sqrt(latent + rope)
    shape = (blocks.numel(), BLOCK_SIZE, width)
    cache = torch.randn(shape, dtype=torch.bfloat16, device=device)
    q = torch.randn((sequences, heads, width), dtype=torch.bfloat16, device=device)
    lengths = torch.full((sequences,), tokens, dtype=torch.int32, device=device)

    def call() -> torch.Tensor:
        return mla_twin.decode(q, cache, blocks, lengths, latent=latent, scale=scale)[0]

    def wrong(out: torch.Tensor) -> str:
        rows = cache[blocks[-1].long()].reshape(tokens, width)
        return differs(out[-1, -1], plain(q[-1, -1], rows, rows[:, :latent], scale))

    name = f"MLA decode bf16, {heads} heads, {latent} + {rope}, {sequences} x {tokens:,} tokens"
    moved = 2 * cache.numel() + 2 * q.numel() + 4 * sequences * heads * latent
    return Case(name, moved, call, wrong)

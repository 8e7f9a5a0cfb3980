"""Absorbed MLA decode on a GPU: every query head reads the one latent row of each token.

    out_SHL, lse_SH = twin.decode(q_SHC, cache, blocks_SB, lengths_S, latent=512)

The cache lies as [num_blocks, block_size, latent + rope], one row a token: the whole row is the
key, its first `latent` channels are the value. A tile of rows is loaded once for a tile of heads
and used as key and as value; DeepSeek's 512 + 64 channels of bf16 are 1,152 bytes a token.
Letters: S sequences, H query heads, L latent channels, C latent and rope channels, B blocks.
"""

import math

import torch
import triton.language as tl

from kernels.gpu import FLOATS, cdiv, check_tensor, dot, jit, power_of_2, rounded, without_gaps
from kernels.gpu.parts import cells, check_contexts, fold, merge, part_span, results, room, write


@jit
def _attend(
    q: tl.tensor,
    cache: tl.tensor,
    blocks: tl.tensor,
    lengths: tl.tensor,
    parts: tl.tensor,
    lse: tl.tensor,
    scale: tl.tensor,
    blocks_stride: tl.tensor,
    num_heads: tl.tensor,
    num_parts: tl.tensor,
    latent: tl.tensor,
    rope: tl.tensor,
    BLOCK_SIZE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_T: tl.constexpr,
    EVEN: tl.constexpr,
) -> None:
    """Program (part, heads, sequence): an online softmax over the part's tokens."""
    part, sequence = tl.program_id(0), tl.program_id(2).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    row = (sequence * num_heads + head) * num_parts + part
    length = tl.load(lengths + sequence).to(tl.int32)
    begin, end = part_span(length, 0, part, num_parts, BLOCK_T)
    if begin >= end:
        tl.store(lse + row, tl.full((BLOCK_H,), -float("inf"), tl.float32), mask=head < num_heads)
        return

    low, high, token = tl.arange(0, BLOCK_L), tl.arange(0, BLOCK_R), tl.arange(0, BLOCK_T)
    width = latent + rope
    q_at = q + (sequence * num_heads + head)[:, None] * width
    mine = (head < num_heads)[:, None]
    dtype = cache.dtype.element_ty
    q_low = tl.load(q_at + low[None, :], mask=mine & (low < latent)[None, :], other=0.0)
    q_high = tl.load(q_at + latent + high[None, :], mask=mine & (high < rope)[None, :], other=0.0)
    q_low, q_high = rounded(q_low, dtype), rounded(q_high, dtype)
    largest = tl.full((BLOCK_H,), -float("inf"), dtype=tl.float32)
    total = tl.zeros((BLOCK_H,), dtype=tl.float32)
    sums = tl.zeros((BLOCK_H, BLOCK_L), dtype=tl.float32)
    own_blocks = blocks + sequence * blocks_stride
    for start in range(begin, end, BLOCK_T):
        at = start + token
        there = at < end
        cell = cells(own_blocks, at, there, 0, 1, BLOCK_SIZE)[:, None] * width
        # Unused cells may hold NaN, and 0 * NaN is NaN: they are not read.
        read = there[:, None] if EVEN else there[:, None] & (low < latent)[None, :]
        k_low = tl.load(cache + cell + low[None, :], mask=read, other=0.0)
        read = there[:, None] if EVEN else there[:, None] & (high < rope)[None, :]
        k_high = tl.load(cache + cell + latent + high[None, :], mask=read, other=0.0)
        scores = dot(q_low, tl.trans(k_low), tl.zeros((BLOCK_H, BLOCK_T), tl.float32))
        scores = dot(q_high, tl.trans(k_high), scores) * scale
        scores = tl.where(there[None, :], scores, -float("inf"))
        largest, total, sums = fold(scores, k_low, largest, total, sums)
    out = parts + row[:, None] * latent + low[None, :]
    whole = mine & (low < latent)[None, :]
    write(out, lse + row, largest, total, sums, whole, head < num_heads)


def _check(
    q_SHC: torch.Tensor,
    cache: torch.Tensor,
    blocks_SB: torch.Tensor,
    lengths_S: torch.Tensor,
    latent: int,
    splits: int | None,
) -> None:
    if splits is not None and splits < 1:
        raise ValueError(f"splits is {splits}; it must be at least 1, or None")
    check_tensor("cache", cache, (None, None, None), FLOATS)
    _, block_size, width = cache.shape
    check_contexts(q_SHC, width, blocks_SB, lengths_S, {"cache": cache})
    if not 0 < latent < width or block_size < 1:
        raise ValueError(
            f"latent is {latent}, cache has shape {tuple(cache.shape)}; latent must be from 1 to "
            f"{width - 1}, and blocks hold at least 1 token"
        )


def decode(
    q_SHC: torch.Tensor,
    cache: torch.Tensor,
    blocks_SB: torch.Tensor,
    lengths_S: torch.Tensor,
    *,
    latent: int,
    scale: float,
    splits: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of each sequence's newest token in latent space, [S, H, latent], and lse [S, H].

    q_SHC      latent queries (already times the keys' up-projection), then rope's; float32 or bf16,
               rounded to the cache's dtype
    cache      [num_blocks, block_size, C], float32 or bf16; rows past a length may hold anything
    blocks_SB  which block holds tokens b * block_size .. of a sequence; int32 or int64; entries
               past a length are not looked at. Ids are not checked: that would wait for the GPU
    lengths_S  tokens of each sequence, the newest included; at most B * block_size
    latent     channels of the value; the other C - latent are rope's
    scale      of scores: 1 / sqrt(width of an unabsorbed head), which the latent does not tell
    splits     parts of each context; chosen for about one wave where left out

    Results are float32. A sequence of length 0 gets zeros, and -inf. Raises ValueError where a
    shape, dtype or device does not fit.
    """
    _check(q_SHC, cache, blocks_SB, lengths_S, latent, splits)
    num_blocks, block_size, _ = cache.shape
    heads = q_SHC.shape[1]
    out, lse = results(q_SHC, latent, cache.device)
    longest = blocks_SB.shape[1] * block_size
    if not out.numel() or not longest or not num_blocks:
        return out.zero_(), lse.fill_(-math.inf)
    # 64 heads read a row twice for DeepSeek's 128, from the second cache; their sums of 64 x 512
    # floats are 128 registers a thread of 8 warps.
    block_h = min(power_of_2(heads, 16), 16 if cache.dtype == torch.float32 else 64)
    part_out, part_lse = room(out, lse, cdiv(heads, block_h), longest, splits)
    with torch.cuda.device_of(cache):
        _launch(
            *(q_SHC.contiguous(), cache, blocks_SB, lengths_S.contiguous()),
            *(part_out, part_lse, float(scale), block_h),
        )
        merge(part_out, part_lse, out, lse)
    return out, lse


def _launch(
    q_SHC: torch.Tensor,
    cache: torch.Tensor,
    blocks_SB: torch.Tensor,
    lengths_S: torch.Tensor,
    part_out: torch.Tensor,
    part_lse: torch.Tensor,
    scale: float,
    block_h: int,
) -> None:
    _, block_size, width = cache.shape
    sequences, heads, num_parts, latent = part_out.shape
    rope = width - latent
    blocks_SB = without_gaps(blocks_SB)
    _attend[(num_parts, cdiv(heads, block_h), sequences)](
        *(q_SHC, cache, blocks_SB, lengths_S, part_out, part_lse),
        *(scale, blocks_SB.stride(0), heads, num_parts, latent, rope),
        BLOCK_SIZE=block_size,
        BLOCK_H=block_h,
        BLOCK_L=power_of_2(latent, 16),
        BLOCK_R=power_of_2(rope, 16),
        BLOCK_T=16 if cache.dtype == torch.float32 else 32,
        EVEN=latent == power_of_2(latent, 16) and rope == power_of_2(rope, 16),
        num_warps=8 if block_h > 32 else 4,
        num_stages=3,
    )

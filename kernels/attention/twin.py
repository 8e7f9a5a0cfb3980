"""Paged decode attention on a GPU: MHA, GQA or MQA, one query token a sequence.

    out_SHC, lse_SH = twin.decode(q_SHC, keys, values, blocks_SB, lengths_S)

Keys and values lie as [num_blocks, kv_heads, block_size, head width], so that what one program
reads of a block is one piece of memory: 16 KiB at 64 tokens x 128 channels of bf16. Heads that
share a KV head are the rows of one product. The context is split into parts, about one wave of
programs in all, and a second kernel merges them by their log-sum-exp.
Letters: S sequences, H query heads, C channels of a head, B blocks of a sequence.
"""

import math

import torch
import triton.language as tl

from kernels.gpu import FLOATS, cdiv, check_tensor, dot, jit, power_of_2, rounded, without_gaps
from kernels.gpu.parts import cells, check_contexts, fold, merge, part_span, results, room, write

# Of five stages two go to reading block ids ahead; the compiler then keeps two tiles of 32 KiB
# (keys and values of 64 tokens x 128 channels of bf16) in flight: 71 KiB a program for sm_90.
STAGES = 5


@jit
def _attend(
    q: tl.tensor,
    keys: tl.tensor,
    values: tl.tensor,
    blocks: tl.tensor,
    lengths: tl.tensor,
    parts: tl.tensor,
    lse: tl.tensor,
    scale: tl.tensor,
    window: tl.tensor,
    blocks_stride: tl.tensor,
    num_heads: tl.tensor,
    num_kv_heads: tl.tensor,
    group: tl.tensor,
    num_parts: tl.tensor,
    head_width: tl.tensor,
    BLOCK_SIZE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_T: tl.constexpr,
    EVEN: tl.constexpr,
) -> None:
    """Program (part, heads of one KV head, sequence): an online softmax over the part's tokens."""
    part, sequence = tl.program_id(0), tl.program_id(2).to(tl.int64)
    tiles_a_kv_head = tl.cdiv(group, BLOCK_H)
    kv_head = tl.program_id(1) // tiles_a_kv_head
    in_group = tl.program_id(1) % tiles_a_kv_head * BLOCK_H + tl.arange(0, BLOCK_H)
    head = kv_head * group + in_group
    row = (sequence * num_heads + head) * num_parts + part

    length = tl.load(lengths + sequence).to(tl.int32)
    first = tl.where(window > 0, tl.maximum(length - window, 0), 0)
    begin, end = part_span(length, first, part, num_parts, BLOCK_T)
    if begin >= end:
        tl.store(lse + row, tl.full((BLOCK_H,), -float("inf"), tl.float32), mask=in_group < group)
        return

    channel, token = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_T)
    whole = channel < head_width
    q_at = q + (sequence * num_heads + head)[:, None] * head_width + channel[None, :]
    mine = (in_group < group)[:, None] & whole[None, :]
    queries = rounded(tl.load(q_at, mask=mine, other=0.0), keys.dtype.element_ty)
    largest = tl.full((BLOCK_H,), -float("inf"), dtype=tl.float32)
    total = tl.zeros((BLOCK_H,), dtype=tl.float32)
    sums = tl.zeros((BLOCK_H, BLOCK_C), dtype=tl.float32)
    own_blocks = blocks + sequence * blocks_stride
    for start in range(begin, end, BLOCK_T):
        at = start + token
        there = at < end
        place = cells(own_blocks, at, there, kv_head, num_kv_heads, BLOCK_SIZE)
        cell = place[:, None] * head_width + channel[None, :]
        # Unused cells may hold NaN, and 0 * NaN is NaN: they are not read.
        read = there[:, None] if EVEN else there[:, None] & whole[None, :]
        k = tl.load(keys + cell, mask=read, other=0.0)
        v = tl.load(values + cell, mask=read, other=0.0)
        scores = dot(queries, tl.trans(k), tl.zeros((BLOCK_H, BLOCK_T), tl.float32)) * scale
        scores = tl.where(there[None, :], scores, -float("inf"))
        largest, total, sums = fold(scores, v, largest, total, sums)
    out = parts + row[:, None] * head_width + channel[None, :]
    write(out, lse + row, largest, total, sums, mine, in_group < group)


def _check(
    q_SHC: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    blocks_SB: torch.Tensor,
    lengths_S: torch.Tensor,
    window: int | None,
    splits: int | None,
) -> None:
    if (window is not None and window < 1) or (splits is not None and splits < 1):
        raise ValueError(f"window is {window}, splits {splits}; each must be at least 1, or None")
    check_tensor("keys", keys, (None, None, None, None), FLOATS)
    _, kv_heads, block_size, width = keys.shape
    check_tensor("values", values, keys.shape, (keys.dtype,), keys.device)
    check_contexts(q_SHC, width, blocks_SB, lengths_S, {"keys": keys, "values": values})
    heads = q_SHC.shape[1]
    if min(kv_heads, block_size, width) < 1 or heads % kv_heads or not heads:
        raise ValueError(
            f"keys have shape {tuple(keys.shape)}, q_SHC {tuple(q_SHC.shape)}; sizes must be at "
            f"least 1, and query heads a multiple of KV heads"
        )


def decode(
    q_SHC: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    blocks_SB: torch.Tensor,
    lengths_S: torch.Tensor,
    *,
    scale: float | None = None,
    window: int | None = None,
    splits: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of each sequence's newest token to its context, [S, H, C], and log-sum-exp [S, H].

    q_SHC         float32 or bf16; rounded to the keys' dtype
    keys, values  [num_blocks, kv_heads, block_size, C], float32 or bf16; cells past a length may
                  hold anything
    blocks_SB     which block holds tokens b * block_size .. of a sequence; int32 or int64; entries
                  past a length are not looked at. Ids are not checked: that would wait for the GPU
    lengths_S     tokens of each sequence, the newest included; at most B * block_size
    scale         of scores; 1 / sqrt(C) where left out
    window        the newest token sees so many, itself included; None: all
    splits        parts of each context; chosen for about one wave where left out

    Results are float32. A sequence of length 0 gets zeros, and -inf. Raises ValueError where a
    shape, dtype or device does not fit.
    """
    _check(q_SHC, keys, values, blocks_SB, lengths_S, window, splits)
    num_blocks, kv_heads, block_size, width = keys.shape
    sequences, heads, _ = q_SHC.shape
    out, lse = results(q_SHC, width, keys.device)
    longest = min(blocks_SB.shape[1] * block_size, window or 2**31 - 1)
    if not sequences or not longest or not num_blocks:
        return out.zero_(), lse.fill_(-math.inf)
    block_h = min(power_of_2(heads // kv_heads, 16), 64)
    columns = kv_heads * cdiv(heads // kv_heads, block_h)
    part_out, part_lse = room(out, lse, columns, longest, splits)
    scale = 1 / math.sqrt(width) if scale is None else float(scale)
    with torch.cuda.device_of(keys):
        _launch(
            *(q_SHC.contiguous(), keys, values, blocks_SB, lengths_S.contiguous()),
            *(part_out, part_lse, scale, window or 0, block_h),
        )
        merge(part_out, part_lse, out, lse)
    return out, lse


def _launch(
    q_SHC: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    blocks_SB: torch.Tensor,
    lengths_S: torch.Tensor,
    part_out: torch.Tensor,
    part_lse: torch.Tensor,
    scale: float,
    window: int,
    block_h: int,
) -> None:
    _, kv_heads, block_size, width = keys.shape
    sequences, heads, num_parts = part_lse.shape
    group = heads // kv_heads
    blocks_SB = without_gaps(blocks_SB)
    wide = keys.dtype == torch.float32 or width > 128
    _attend[(num_parts, kv_heads * cdiv(group, block_h), sequences)](
        *(q_SHC, keys, values, blocks_SB, lengths_S, part_out, part_lse),
        *(scale, window, blocks_SB.stride(0), heads, kv_heads, group, num_parts, width),
        BLOCK_SIZE=block_size,
        BLOCK_H=block_h,
        BLOCK_C=power_of_2(width, 16),
        BLOCK_T=32 if wide else 64,
        EVEN=width == power_of_2(width, 16),
        num_warps=4,
        num_stages=3 if wide else STAGES,
    )

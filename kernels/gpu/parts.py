"""What the twins of paged decode attention share: contexts in parts, each with its log-sum-exp, and
their merge into one.
"""

import torch
import triton.language as tl

from kernels.gpu import (
    FLOATS,
    INTEGERS,
    check_tensor,
    dot,
    jit,
    num_splits,
    power_of_2,
    rounded,
)

# Tokens below which a part of its own costs more, in a merge and a start, than it saves.
PART_MIN = 256


@jit
def part_span(
    length: tl.tensor, first: tl.tensor, part: tl.tensor, num_parts: tl.tensor, BLOCK: tl.constexpr
) -> tl.tensor:
    """Where a part of the tokens first .. length - 1 begins and ends, in whole tiles from `first`.

    A part that would begin past the end is empty: its end is not above its begin.
    """
    tokens = tl.cdiv(tl.cdiv(length - first, num_parts), BLOCK) * BLOCK
    begin = first + part * tokens
    return begin, tl.minimum(begin + tokens, length)


@jit
def cells(
    blocks: tl.tensor,
    token: tl.tensor,
    there: tl.tensor,
    kv_head: tl.tensor,
    num_kv_heads: tl.tensor,
    BLOCK_SIZE: tl.constexpr,
) -> tl.tensor:
    """Rows of a sequence's tokens in a cache [num_blocks, kv_heads, block_size], in 64 bits."""
    block = tl.load(blocks + token // BLOCK_SIZE, mask=there, other=0).to(tl.int64)
    return (block * num_kv_heads + kv_head) * BLOCK_SIZE + token % BLOCK_SIZE


@jit
def fold(
    scores: tl.tensor, values: tl.tensor, largest: tl.tensor, total: tl.tensor, sums: tl.tensor
) -> tl.tensor:
    """An online softmax's step: one more tile of scores [H, T] with their values [T, C]."""
    new = tl.maximum(largest, tl.max(scores, axis=1))
    # A tile of -inf scores only (an overflow's) must not make exp(-inf - -inf).
    base = tl.where(new == -float("inf"), 0.0, new)
    shrink = tl.exp(largest - base)
    shares = tl.exp(scores - base[:, None])
    total = total * shrink + tl.sum(shares, axis=1)
    return new, total, dot(rounded(shares, values.dtype), values, sums * shrink[:, None])


@jit
def write(
    out: tl.tensor,
    lse: tl.tensor,
    largest: tl.tensor,
    total: tl.tensor,
    sums: tl.tensor,
    there_HC: tl.tensor,
    there_H: tl.tensor,
) -> None:
    """What `fold` ended with, as a part: the softmax's result and its log-sum-exp."""
    divisor = tl.where(total > 0, total, 1.0)
    tl.store(out, sums / divisor[:, None], mask=there_HC)
    tl.store(lse, largest + tl.log(divisor), mask=there_H)


@jit
def _merge(
    parts: tl.tensor,
    lse_parts: tl.tensor,
    out: tl.tensor,
    lse: tl.tensor,
    num_parts: tl.tensor,
    width: tl.tensor,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One program a row. A part whose lse is -inf is empty: its values are not read."""
    row = tl.program_id(0).to(tl.int64)
    part, column = tl.arange(0, PARTS), tl.arange(0, BLOCK)
    own = tl.load(lse_parts + row * num_parts + part, mask=part < num_parts, other=-float("inf"))
    largest = tl.max(own, axis=0)
    # All parts empty: exp(-inf - -inf) would be NaN.
    base = tl.where(largest == -float("inf"), 0.0, largest)
    total = tl.sum(tl.exp(own - base), axis=0)
    sums = tl.zeros((BLOCK,), dtype=tl.float32)
    for i in range(num_parts):
        one = tl.load(lse_parts + row * num_parts + i)
        there = column < tl.where(one > -float("inf"), width, 0)
        values = tl.load(parts + (row * num_parts + i) * width + column, mask=there, other=0.0)
        sums += tl.exp(one - base) * values
    divisor = tl.where(total > 0, total, 1.0)
    tl.store(out + row * width + column, sums / divisor, mask=column < width)
    tl.store(lse + row, tl.where(total > 0, base + tl.log(divisor), -float("inf")))


def check_contexts(
    q_SHC: torch.Tensor,
    width: int,
    blocks_SB: torch.Tensor,
    lengths_S: torch.Tensor,
    caches: dict[str, torch.Tensor],
) -> None:
    """Raises ValueError where a step's queries and contexts do not fit the caches, by name."""
    device = next(iter(caches.values())).device
    check_tensor("q_SHC", q_SHC, (None, None, width), FLOATS, device)
    check_tensor("blocks_SB", blocks_SB, (len(q_SHC), None), INTEGERS, device)
    check_tensor("lengths_S", lengths_S, (len(q_SHC),), INTEGERS, device)
    for name, cache in caches.items():
        if not cache.is_contiguous():
            raise ValueError(f"{name} has strides {cache.stride()}; it must be contiguous")


def results(
    q_SHC: torch.Tensor, width: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where attention [S, H, width] and its log-sum-exp [S, H] go, float32."""
    out = torch.empty((*q_SHC.shape[:2], width), dtype=torch.float32, device=device)
    return out, torch.empty(q_SHC.shape[:2], dtype=torch.float32, device=device)


def room(
    out: torch.Tensor, lse: torch.Tensor, columns: int, longest: int, splits: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where parts go: [S, H, P, C] and [S, H, P] of `out` [S, H, C] and `lse` [S, H].

    They are `out` and `lse` themselves, the former zeroed, where there is one part. `columns` are
    the programs of one sequence and part, `longest` a bound of the contexts.
    """
    parts = splits or num_splits(out.device, len(out) * columns, longest, PART_MIN)
    if parts == 1:
        return out.zero_().unsqueeze(2), lse.unsqueeze(2)
    sequences, heads, width = out.shape
    return out.new_empty((sequences, heads, parts, width)), lse.new_empty((sequences, heads, parts))


def merge(
    part_out: torch.Tensor, part_lse: torch.Tensor, out: torch.Tensor, lse: torch.Tensor
) -> None:
    """Merge what is in `room` into `out` [S, H, C] and `lse` [S, H]; one part is there already.

    Where all parts are empty, zeros with lse -inf.
    """
    sequences, heads, parts, width = part_out.shape
    if parts == 1:
        return
    _merge[(sequences * heads,)](
        part_out,
        part_lse,
        out,
        lse,
        parts,
        width,
        PARTS=power_of_2(parts),
        BLOCK=power_of_2(width),
        num_warps=4 if width > 256 else 2,
    )

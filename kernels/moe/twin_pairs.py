"""Which pairs of a token and an expert one program does.

Few pairs: each pair has a program column, and of those that name the same expert every BLOCK_M-th
leads, the rest leave at once. Nothing is sorted, padded or counted beforehand: at batch 1 that
would cost as much as the experts. Many pairs: they are sorted by expert, in blocks of one expert
each.
Letters: T tokens, K experts a token, P pairs, E experts.
"""

import torch
import triton.language as tl

from kernels.gpu import cdiv, jit, power_of_2

# Up to here a program finds its pairs by looking at all of them: a tile of 128 x 16 comparisons.
UNSORTED_PAIRS_MAX = 128


@jit
def led(slots: tl.tensor, num_pairs: tl.tensor, num_experts: tl.tensor, PAIRS: tl.constexpr,
        BLOCK_M: tl.constexpr) -> tl.tensor:  # fmt: skip
    """Of the pair that this program is for: its expert, the pairs to do and whether each is one.

    The expert is -1 where another program does this pair, or where nobody is named.
    """
    own = tl.program_id(1)
    expert = tl.load(slots + own)
    pair = tl.arange(0, PAIRS)
    same = tl.load(slots + pair, mask=pair < num_pairs, other=-1) == expert
    place = tl.cumsum(same.to(tl.int32), axis=0) - 1
    before = tl.sum((same & (pair < own)).to(tl.int32), axis=0)
    wanted = before + tl.arange(0, BLOCK_M)
    found = (place[:, None] == wanted[None, :]) & same[:, None]
    pairs = tl.sum(tl.where(found, pair[:, None], 0), axis=0)
    here = tl.sum(found.to(tl.int32), axis=0) > 0
    leads = (expert >= 0) & (expert < num_experts) & (before % BLOCK_M == 0)
    return tl.where(leads, expert, -1), pairs, here


@jit
def in_order(order: tl.tensor, starts: tl.tensor, num_experts: tl.tensor, EXPERTS: tl.constexpr,
             BLOCK_M: tl.constexpr) -> tl.tensor:  # fmt: skip
    """The same where pairs are sorted: `order` names them by expert, each from `starts` on."""
    block = tl.program_id(1)
    expert = tl.arange(0, EXPERTS)
    held = expert < num_experts
    start = tl.load(starts + expert, mask=held, other=0).to(tl.int32)
    end = tl.load(starts + expert + 1, mask=held, other=0).to(tl.int32)
    blocks = (end - start + BLOCK_M - 1) // BLOCK_M
    last = tl.cumsum(blocks, axis=0)
    mine = held & (block >= last - blocks) & (block < last)
    chosen = tl.max(tl.where(mine, expert, -1), axis=0)
    first = tl.sum(tl.where(mine, start + (block - last + blocks) * BLOCK_M, 0), axis=0)
    limit = tl.sum(tl.where(mine, end, 0), axis=0)
    at = first + tl.arange(0, BLOCK_M)
    pairs = tl.load(order + at, mask=at < limit, other=0).to(tl.int32)
    return chosen, pairs, at < limit


def cut_pairs(
    slots_TK: torch.Tensor, experts: int, unsorted_pairs_max: int
) -> tuple[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor], dict[str, int]]:
    """Programs a tile of channels, the three index tensors and the constants of both products."""
    pairs = slots_TK.numel()
    block_m = 64 if pairs >= 64 * experts else 16
    if pairs <= unsorted_pairs_max:
        options = {"SORTED": False, "SPAN": power_of_2(pairs, 16), "BLOCK_M": block_m}
        return pairs, (slots_TK, slots_TK, slots_TK), options
    order, starts = _by_expert(slots_TK, experts)
    columns = min(pairs, cdiv(pairs, block_m) + experts)
    options = {"SORTED": True, "SPAN": power_of_2(experts, 16), "BLOCK_M": block_m}
    return columns, (slots_TK, order, starts), options


def _by_expert(slots_TK: torch.Tensor, experts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs by expert [P], and where each expert's begin [E + 1]; unused ones lie behind."""
    flat = slots_TK.flatten()
    known = torch.where((flat >= 0) & (flat < experts), flat, experts)
    ids, order = torch.sort(known, stable=True)
    bounds = torch.arange(experts + 1, dtype=ids.dtype, device=ids.device)
    return order, torch.searchsorted(ids, bounds)

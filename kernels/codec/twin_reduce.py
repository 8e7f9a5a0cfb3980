"""The dispatch codec's other end on a GPU: what all ranks sent for a token, as one sum.

A first kernel writes down which row each rank sent for each token, a second one adds by ascending
rank: the same bits whatever the order of arrival, without a sort.
"""

import torch
import triton.language as tl

from kernels.gpu import FLOATS, INTEGERS, cdiv, check_tensor, jit, without_gaps

# What a row can be wrong by.
UNKNOWN, TWICE = tl.constexpr(1), tl.constexpr(2)


@jit
def _table(
    tokens: tl.tensor,
    ranks: tl.tensor,
    table: tl.tensor,
    wrong: tl.tensor,
    num_rows: tl.tensor,
    num_tokens: tl.tensor,
    num_ranks: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Write which row each rank sent for each token, so that no sort is needed."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    token = tl.load(tokens + row, mask=row < num_rows, other=-1).to(tl.int64)
    rank = tl.load(ranks + row, mask=row < num_rows, other=0).to(tl.int64)
    known = (token >= 0) & (token < num_tokens) & (rank >= 0) & (rank < num_ranks)
    before = tl.atomic_xchg(table + token * num_ranks + rank, row, mask=known)
    tl.atomic_or(wrong + row * 0, UNKNOWN, mask=(token >= 0) & (known == 0))
    tl.atomic_or(wrong + row * 0, TWICE, mask=known & (before >= 0))


@jit
def _reduce(
    rows: tl.tensor,
    table: tl.tensor,
    out: tl.tensor,
    stride: tl.tensor,
    hidden: tl.tensor,
    num_ranks: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Program (token, channels): rows by ascending rank, whatever the order of arrival."""
    token = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    sums = tl.zeros((BLOCK,), dtype=tl.float32)
    for rank in range(num_ranks):
        row = tl.load(table + token * num_ranks + rank).to(tl.int64)
        there = channel < tl.where(row >= 0, hidden, 0)
        sums += tl.load(rows + row * stride + channel, mask=there, other=0.0).to(tl.float32)
    tl.store(out + token * hidden + channel, sums, mask=channel < hidden)


def reduce(
    rows_RH: torch.Tensor,
    tokens_R: torch.Tensor,
    ranks_R: torch.Tensor,
    num_tokens: int,
    num_ranks: int,
    *,
    check: bool = True,
) -> torch.Tensor:
    """Sum of each token's rows by ascending rank, [num_tokens, H] float32.

    Ranks are 0 .. num_ranks - 1; a row of token -1 is unused and may hold NaN. With `check`, raises
    ValueError on ids past the end and where a rank sends a token twice.
    """
    check_tensor("rows_RH", rows_RH, (None, None), FLOATS)
    count, hidden = rows_RH.shape
    check_tensor("tokens_R", tokens_R, (count,), INTEGERS, rows_RH.device)
    check_tensor("ranks_R", ranks_R, (count,), INTEGERS, rows_RH.device)
    if num_ranks < 1 or num_tokens < 0:
        raise ValueError(
            f"num_ranks is {num_ranks}, num_tokens {num_tokens}; they must be at least 1 and 0"
        )
    device = rows_RH.device
    out = torch.empty((num_tokens, hidden), dtype=torch.float32, device=device)
    if not count or not out.numel():
        return out.zero_()
    rows_RH = without_gaps(rows_RH)
    table = torch.full((num_tokens, num_ranks), -1, dtype=torch.int32, device=device)
    wrong = torch.zeros(1, dtype=torch.int32, device=device)
    with torch.cuda.device_of(rows_RH):
        _table[(cdiv(count, 256),)](
            *(tokens_R.contiguous(), ranks_R.contiguous(), table, wrong),
            *(count, num_tokens, num_ranks),
            BLOCK=256,
        )
        if check:
            _refuse(int(wrong), num_tokens, num_ranks)
        _reduce[(num_tokens, cdiv(hidden, 1024))](
            rows_RH, table, out, rows_RH.stride(0), hidden, num_ranks, BLOCK=1024
        )
    return out


def _refuse(wrong: int, num_tokens: int, num_ranks: int) -> None:
    if wrong & UNKNOWN.value:
        raise ValueError(
            f"tokens_R or ranks_R names what is not there: tokens must be below {num_tokens}, "
            f"ranks from 0 to {num_ranks - 1}"
        )
    if wrong & TWICE.value:
        raise ValueError("a rank sends a token twice; the order of its rows would be chance")

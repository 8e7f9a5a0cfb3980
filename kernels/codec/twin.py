"""The dispatch codec on a GPU: the same bytes as `kernels.codec`, without a word to the host.

    payload, tokens_R, offsets = twin.pack(x_TH, destinations_TD, num_destinations)
    rows_RH = twin.unpack(payload, hidden)
    out_TH = twin.reduce(rows_RH, tokens_R, ranks_R, num_tokens, num_ranks)

How many rows there are is known on the device only, so `payload` and `tokens_R` have room for all
that could be, and rows from offsets[-1] on are not written (their token is -1). Bad ids are found
by reading a flag back, which waits for the device: `check=False` leaves that out, as a CUDA graph
needs, and then ids that fit nowhere count as unused.
Letters: T tokens, H hidden, G groups of 128 channels, D destinations a token, R rows.
"""

import torch
import triton.language as tl

from kernels.codec import ref
from kernels.gpu import (
    FLOATS,
    INTEGERS,
    cdiv,
    check_tensor,
    jit,
    power_of_2,
    rounded,
)

GROUP = tl.constexpr(128)  # kernels.numbers.GROUP
# Adding and subtracting 1.5 * 2^23 rounds a small float to the nearest even integer.
ROUNDER = tl.constexpr(12582912.0)
GROUPS_A_PROGRAM = 16  # 2,048 channels: 16 a thread of 4 warps
UNKNOWN, TWICE = tl.constexpr(1), tl.constexpr(2)


@jit
def _quantise(row: tl.tensor, group: tl.tensor, hidden: tl.tensor) -> tl.tensor:
    """Codes [G, 128] and scales [G] of one token's groups, as `numbers.int8_rows` has them.

    Divisions round to nearest, and the caller must compile without fp fusion: the same bits.
    """
    channel = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    x = tl.load(row + channel, mask=channel < hidden, other=0.0).to(tl.float32)
    size = tl.where(x == x, tl.abs(x), 0.0)
    largest = tl.max(size, axis=1)
    spoilt = tl.max((x != x).to(tl.int32), axis=1) > 0
    step = tl.div_rn(largest, tl.full(largest.shape, 127.0, tl.float32))
    scales = tl.where(spoilt, float("nan"), step)
    divisor = tl.where(largest > 0, largest, 1.0)
    inverse = tl.div_rn(tl.full(largest.shape, 127.0, tl.float32), divisor)
    inverse = tl.where((largest > 0) & (spoilt == 0), inverse, 0.0)
    steps = x * inverse[:, None]
    steps = tl.where(steps == steps, steps, 0.0)
    steps = tl.minimum(tl.maximum(steps, -127.0), 127.0)
    return ((steps + ROUNDER) - ROUNDER).to(tl.int8), scales


@jit
def _places(
    destinations: tl.tensor,
    places: tl.tensor,
    counts: tl.tensor,
    num_tokens: tl.tensor,
    num_named: tl.tensor,
    BLOCK_T: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """Program d: the place of each token among those that name d, and how many do."""
    to = tl.program_id(0)
    named = tl.arange(0, BLOCK_D)
    total = 0
    for start in range(0, num_tokens, BLOCK_T):
        token = start + tl.arange(0, BLOCK_T)
        there = (token < num_tokens)[:, None] & (named < num_named)[None, :]
        at = destinations + token[:, None].to(tl.int64) * num_named + named[None, :]
        here = tl.max((tl.load(at, mask=there, other=-1) == to).to(tl.int32), axis=1)
        place = total + tl.cumsum(here, axis=0) - here
        tl.store(places + to.to(tl.int64) * num_tokens + token, place, mask=token < num_tokens)
        total += tl.sum(here, axis=0)
    tl.store(counts + to, total)


@jit
def _pack(
    x: tl.tensor,
    destinations: tl.tensor,
    places: tl.tensor,
    offsets: tl.tensor,
    codes_out: tl.tensor,
    scales_out: tl.tensor,
    tokens_out: tl.tensor,
    stride: tl.tensor,
    num_tokens: tl.tensor,
    num_named: tl.tensor,
    num_destinations: tl.tensor,
    hidden: tl.tensor,
    scales_at: tl.tensor,
    row_bytes: tl.tensor,
    BLOCK_G: tl.constexpr,
) -> None:
    """Program (token, groups): encode once, write to each destination. `codes_out` and `scales_out`
    are the payload as int8 and as float32; naming a destination twice writes the same again."""
    token = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * BLOCK_G + tl.arange(0, BLOCK_G)
    codes, scales = _quantise(x + token * stride, group, hidden)
    channel = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    num_scales = (row_bytes - scales_at) // 4  # zeros from the last group on, to the row's end
    for i in range(num_named):
        to = tl.load(destinations + token * num_named + i).to(tl.int64)
        if (to >= 0) & (to < num_destinations):
            row = tl.load(offsets + to) + tl.load(places + to * num_tokens + token)
            tl.store(codes_out + row * row_bytes + channel, codes, mask=channel < scales_at)
            at = row * (row_bytes // 4) + scales_at // 4
            tl.store(scales_out + at + group, scales, mask=group < num_scales)
            if tl.program_id(1) == 0:
                tl.store(tokens_out + row, token.to(tl.int32))


@jit
def _unpack(
    codes: tl.tensor,
    scales: tl.tensor,
    out: tl.tensor,
    hidden: tl.tensor,
    scales_at: tl.tensor,
    row_bytes: tl.tensor,
    BLOCK_G: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * BLOCK_G + tl.arange(0, BLOCK_G)
    channel = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    code = tl.load(codes + row * row_bytes + channel, mask=channel < hidden, other=0)
    at = row * (row_bytes // 4) + scales_at // 4
    scale = tl.load(scales + at + group, mask=group * GROUP < hidden, other=0.0)
    x = rounded(code.to(tl.float32) * scale[:, None], out.dtype.element_ty)
    tl.store(out + row * hidden + channel, x, mask=channel < hidden)


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


def _scales_at(hidden: int) -> int:
    return cdiv(hidden, 4) * 4


def _chunks(hidden: int) -> int:
    """Programs a row; scales and the zeros behind them count, not channels alone."""
    scales = (ref.row_bytes(hidden) - _scales_at(hidden)) // 4
    return cdiv(scales, GROUPS_A_PROGRAM)


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def pack(
    x_TH: torch.Tensor, destinations_TD: torch.Tensor, num_destinations: int, *, check: bool = True
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Encode tokens (float32 or bf16) into a row for each destination that they name; -1: none.

    Returns the payload [T * D, row_bytes] uint8, the token of each row [T * D] int32, and where
    each destination's rows begin: offsets [num_destinations + 1] int64. Rows are by destination,
    then token. With `check`, raises ValueError on destinations past the end.
    """
    check_tensor("x_TH", x_TH, (None, None), FLOATS)
    tokens, hidden = x_TH.shape
    check_tensor("destinations_TD", destinations_TD, (tokens, None), INTEGERS, x_TH.device)
    if num_destinations < 1 or hidden < 1:
        raise ValueError(
            f"num_destinations is {num_destinations}, hidden {hidden}; each must be at least 1"
        )
    x_TH, destinations_TD = _rows(x_TH), destinations_TD.contiguous()
    largest = int(destinations_TD.max()) if check and destinations_TD.numel() else -1
    if largest >= num_destinations:
        raise ValueError(f"destinations_TD names {largest}; there are {num_destinations}")
    room, row_bytes, device = destinations_TD.numel(), ref.row_bytes(hidden), x_TH.device
    payload = torch.empty((room, row_bytes), dtype=torch.uint8, device=device)
    tokens_R = torch.full((room,), -1, dtype=torch.int32, device=device)
    offsets = torch.zeros(num_destinations + 1, dtype=torch.int64, device=device)
    if not room:
        return payload, tokens_R, offsets
    places = torch.empty((num_destinations, tokens), dtype=torch.int32, device=device)
    counts = torch.empty(num_destinations, dtype=torch.int32, device=device)
    named = destinations_TD.shape[1]
    with torch.cuda.device_of(x_TH):
        _places[(num_destinations,)](
            destinations_TD,
            places,
            counts,
            tokens,
            named,
            BLOCK_T=min(power_of_2(tokens, 16), 1024 // min(power_of_2(named), 16)),
            BLOCK_D=power_of_2(named),
        )
        torch.cumsum(counts, 0, out=offsets[1:])
        _pack[(tokens, _chunks(hidden))](
            x_TH,
            destinations_TD,
            places,
            offsets,
            payload.view(torch.int8),
            payload.view(torch.float32),
            tokens_R,
            x_TH.stride(0),
            tokens,
            named,
            num_destinations,
            hidden,
            _scales_at(hidden),
            row_bytes,
            BLOCK_G=GROUPS_A_PROGRAM,
            enable_fp_fusion=False,
        )
    return payload, tokens_R, offsets


def unpack(payload: torch.Tensor, hidden: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Packed rows as float32, or rounded to bf16: [R, H]."""
    row_bytes = ref.row_bytes(hidden) if hidden > 0 else 0
    check_tensor("payload", payload, (None, row_bytes), (torch.uint8,))
    payload = payload.contiguous()
    if payload.data_ptr() % 4:  # a part of other bytes: scales are read as whole floats
        payload = payload.clone()
    out = torch.empty((len(payload), hidden), dtype=dtype, device=payload.device)
    if out.numel():
        with torch.cuda.device_of(payload):
            _unpack[(len(payload), cdiv(cdiv(hidden, GROUP.value), GROUPS_A_PROGRAM))](
                payload.view(torch.int8),
                payload.view(torch.float32),
                out,
                hidden,
                _scales_at(hidden),
                row_bytes,
                BLOCK_G=GROUPS_A_PROGRAM,
            )
    return out


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
    rows_RH = _rows(rows_RH)
    table = torch.full((num_tokens, num_ranks), -1, dtype=torch.int32, device=device)
    wrong = torch.zeros(1, dtype=torch.int32, device=device)
    with torch.cuda.device_of(rows_RH):
        _table[(cdiv(count, 256),)](
            tokens_R.contiguous(),
            ranks_R.contiguous(),
            table,
            wrong,
            count,
            num_tokens,
            num_ranks,
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

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
from kernels.codec.twin_reduce import reduce
from kernels.gpu import FLOATS, INTEGERS, cdiv, check_tensor, jit, power_of_2, rounded, without_gaps

__all__ = ["pack", "reduce", "unpack"]

GROUP = tl.constexpr(128)  # kernels.numbers.GROUP
# Adding and subtracting 1.5 * 2^23 rounds a small float to the nearest even integer.
ROUNDER = tl.constexpr(12582912.0)
GROUPS_A_PROGRAM = 16  # 2,048 channels: 16 a thread of 4 warps


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


def _scales_at(hidden: int) -> int:
    return cdiv(hidden, 4) * 4


def _chunks(hidden: int) -> int:
    """Programs a row; scales and the zeros behind them count, not channels alone."""
    scales = (ref.row_bytes(hidden) - _scales_at(hidden)) // 4
    return cdiv(scales, GROUPS_A_PROGRAM)


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
    x_TH, destinations_TD = without_gaps(x_TH), destinations_TD.contiguous()
    largest = int(destinations_TD.max()) if check and destinations_TD.numel() else -1
    if largest >= num_destinations:
        raise ValueError(f"destinations_TD names {largest}; there are {num_destinations}")
    room, row_bytes, device = destinations_TD.numel(), ref.row_bytes(hidden), x_TH.device
    payload = torch.empty((room, row_bytes), dtype=torch.uint8, device=device)
    tokens_R = torch.full((room,), -1, dtype=torch.int32, device=device)
    offsets = torch.zeros(num_destinations + 1, dtype=torch.int64, device=device)
    if not room:
        return payload, tokens_R, offsets
    with torch.cuda.device_of(x_TH):
        _launch_pack(x_TH, destinations_TD, payload, tokens_R, offsets)
    return payload, tokens_R, offsets


def _launch_pack(
    x_TH: torch.Tensor,
    destinations_TD: torch.Tensor,
    payload: torch.Tensor,
    tokens_R: torch.Tensor,
    offsets: torch.Tensor,
) -> None:
    tokens, hidden = x_TH.shape
    named, num_destinations = destinations_TD.shape[1], len(offsets) - 1
    places = offsets.new_empty((num_destinations, tokens), dtype=torch.int32)
    counts = offsets.new_empty(num_destinations, dtype=torch.int32)
    _places[(num_destinations,)](
        *(destinations_TD, places, counts, tokens, named),
        BLOCK_T=min(power_of_2(tokens, 16), 1024 // min(power_of_2(named), 16)),
        BLOCK_D=power_of_2(named),
    )
    torch.cumsum(counts, 0, out=offsets[1:])
    _pack[(tokens, _chunks(hidden))](
        *(x_TH, destinations_TD, places, offsets),
        *(payload.view(torch.int8), payload.view(torch.float32), tokens_R, x_TH.stride(0)),
        *(tokens, named, num_destinations, hidden, _scales_at(hidden), payload.shape[1]),
        BLOCK_G=GROUPS_A_PROGRAM,
        enable_fp_fusion=False,
    )


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

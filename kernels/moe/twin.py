"""Routed experts on a GPU: gate, up and SwiGLU in one kernel, down in a second, sums in a third.

    sums_TH = twin.forward(gate_up, down, hidden_TH, slots_TK, weights_TK)

A pair is one (token, place among its K experts). Few pairs: each pair has a program column, and of
those that name the same expert every BLOCK_M-th leads, the rest leave at once. Nothing is sorted,
padded or counted beforehand: at batch 1 that would cost as much as the experts. Many pairs: they
are sorted by expert, in blocks of one expert each.

Weights are the left operand and tokens the right one, so that 64 channels and more fill the tensor
cores' rows where a small batch could not. Contributions are summed in a kernel of their own, by
ascending place: the same bits each time, which atomic additions would not give.
Letters: T tokens, H hidden, K experts a token, P pairs, E experts, I inner width.
"""

from dataclasses import dataclass

import torch
import triton.language as tl

from kernels.gpu import (
    FLOATS,
    INTEGERS,
    cdiv,
    check_tensor,
    dot,
    jit,
    power_of_2,
    rounded,
    wave,
)

# Up to here a program finds its pairs by looking at all of them: a tile of 128 x 16 comparisons.
UNSORTED_PAIRS_MAX = 128
# kernels.moe.ref.GRID; and from 2^52 on every float64 is a whole number.
GRID, WHOLE = tl.constexpr(2.0**32), tl.constexpr(2.0**52)


@jit
def _led(slots: tl.tensor, num_pairs: tl.tensor, num_experts: tl.tensor, PAIRS: tl.constexpr,
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
def _sorted(order: tl.tensor, starts: tl.tensor, num_experts: tl.tensor, EXPERTS: tl.constexpr,
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


@jit
def _gate_up(
    x: tl.tensor,
    weight: tl.tensor,
    inner: tl.tensor,
    slots: tl.tensor,
    order: tl.tensor,
    starts: tl.tensor,
    stride: tl.tensor,
    top_k: tl.tensor,
    num_pairs: tl.tensor,
    num_experts: tl.tensor,
    hidden: tl.tensor,
    width: tl.tensor,
    SORTED: tl.constexpr,
    SPAN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN: tl.constexpr,
) -> None:
    """Program (inner channels, block of pairs): inner[pair] = silu(gate) * up."""
    if SORTED:
        expert, pairs, here = _sorted(order, starts, num_experts, SPAN, BLOCK_M)
    else:
        expert, pairs, here = _led(slots, num_pairs, num_experts, SPAN, BLOCK_M)
    if expert < 0:
        return
    channel = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    # Channels past the end read the last one's weights: a mask only where k is off the edge.
    row = tl.minimum(channel, width - 1)
    base = weight + expert.to(tl.int64) * 2 * width * hidden
    gates = base + row[:, None] * hidden + k[None, :]
    ups = gates + width * hidden
    tokens = x + (pairs // top_k).to(tl.int64)[None, :] * stride + k[:, None]
    gate = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    up = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    for start in range(0, hidden, BLOCK_K):
        if EVEN:
            a, b = tl.load(gates + start), tl.load(ups + start)
            rows = tl.load(tokens + start, mask=here[None, :], other=0.0)
        else:
            there = start + k < hidden
            a = tl.load(gates + start, mask=there[None, :], other=0.0)
            b = tl.load(ups + start, mask=there[None, :], other=0.0)
            rows = tl.load(tokens + start, mask=here[None, :] & there[:, None], other=0.0)
        rows = rounded(rows, weight.dtype.element_ty)
        gate = dot(a, rows, gate)
        up = dot(b, rows, up)
    out = gate / (1.0 + tl.exp(-gate)) * up
    at = inner + pairs.to(tl.int64)[None, :] * width + channel[:, None]
    out = rounded(out, inner.dtype.element_ty)
    tl.store(at, out, mask=here[None, :] & (channel < width)[:, None])


@jit
def _down(
    inner: tl.tensor,
    weight: tl.tensor,
    parts: tl.tensor,
    slots: tl.tensor,
    order: tl.tensor,
    starts: tl.tensor,
    num_pairs: tl.tensor,
    num_experts: tl.tensor,
    hidden: tl.tensor,
    width: tl.tensor,
    SORTED: tl.constexpr,
    SPAN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN: tl.constexpr,
) -> None:
    """Program (hidden channels, block of pairs): parts[pair] = down @ inner[pair], float32."""
    if SORTED:
        expert, pairs, here = _sorted(order, starts, num_experts, SPAN, BLOCK_M)
    else:
        expert, pairs, here = _led(slots, num_pairs, num_experts, SPAN, BLOCK_M)
    if expert < 0:
        return
    channel = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    row = tl.minimum(channel, hidden - 1)
    downs = weight + expert.to(tl.int64) * width * hidden + row[:, None] * width + k[None, :]
    inners = inner + pairs.to(tl.int64)[None, :] * width + k[:, None]
    sums = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    for start in range(0, width, BLOCK_K):
        if EVEN:
            a = tl.load(downs + start)
            rows = tl.load(inners + start, mask=here[None, :], other=0.0)
        else:
            there = start + k < width
            a = tl.load(downs + start, mask=there[None, :], other=0.0)
            rows = tl.load(inners + start, mask=here[None, :] & there[:, None], other=0.0)
        sums = dot(a, rows, sums)
    at = parts + pairs.to(tl.int64)[None, :] * hidden + channel[:, None]
    tl.store(at, sums, mask=here[None, :] & (channel < hidden)[:, None])


@jit
def _sum(
    parts: tl.tensor,
    slots: tl.tensor,
    weights: tl.tensor,
    out: tl.tensor,
    num_experts: tl.tensor,
    top_k: tl.tensor,
    hidden: tl.tensor,
    EXACT: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Program (token, channels): weighted sum by ascending place; float64 on the grid if EXACT."""
    token = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    sums = tl.zeros((BLOCK,), dtype=out.dtype.element_ty)
    for place in range(top_k):
        pair = token * top_k + place
        slot = tl.load(slots + pair)
        known = (slot >= 0) & (slot < num_experts)
        share = tl.where(known, tl.load(weights + pair), 0.0)
        there = channel < tl.where(known, hidden, 0)
        part = tl.load(parts + pair * hidden + channel, mask=there, other=0.0)
        if EXACT:
            scaled = part.to(tl.float64) * share.to(tl.float64) * GRID
            size = tl.abs(scaled)
            near = tl.where(size < WHOLE, (size + WHOLE) - WHOLE, size)
            sums += tl.where(scaled < 0, -near, near) / GRID
        else:
            sums += part * share
    tl.store(out + token * hidden + channel, sums, mask=channel < hidden)


@dataclass(frozen=True)
class Tile:
    """How one product is cut: channels and depth a step; see `tiles`."""

    channels: int
    depth: int
    warps: int
    stages: int

    def options(self, depth: int) -> dict[str, int]:
        """What a product of this depth is launched with."""
        return {
            "BLOCK_N": self.channels,
            "BLOCK_K": self.depth,
            "EVEN": depth % self.depth == 0,
            "num_warps": self.warps,
            "num_stages": self.stages,
        }


def tiles(
    device: torch.device, dtype: torch.dtype, columns: int, width: int, block_m: int, fused: bool
) -> Tile:
    """The widest tile with which `columns` programs a tile of channels still make a wave.

    Bytes in flight decide: three stages of 64 channels x 128 of gate and of up (bf16) are 108 KiB
    with the tokens' 4 KiB each, so two programs share a multiprocessor of 228 KiB. Reckoned for
    H100 and H200, not yet measured there.
    """
    depth = 128 if dtype == torch.bfloat16 else 32
    if block_m > 16:
        return Tile(64 if fused else 128, depth // 2, 4, 3)
    for channels in (64, 32):
        if columns * cdiv(width, channels) >= wave(device):
            return Tile(channels, depth, 4, 3 if fused else 4)
    return Tile(16, 2 * depth, 4, 3)


def _check(
    gate_up: torch.Tensor,
    down: torch.Tensor,
    hidden_TH: torch.Tensor,
    slots_TK: torch.Tensor,
    weights_TK: torch.Tensor,
) -> None:
    check_tensor("gate_up", gate_up, (None, None, None), FLOATS)
    experts, rows, hidden = gate_up.shape
    if rows % 2 or not rows or not experts or not hidden:
        raise ValueError(
            f"gate_up has shape {tuple(gate_up.shape)}; it must be (experts, 2 * inner, hidden), "
            f"each at least 1"
        )
    device = gate_up.device
    check_tensor("down", down, (experts, hidden, rows // 2), (gate_up.dtype,), device)
    check_tensor("hidden_TH", hidden_TH, (None, hidden), FLOATS, device)
    check_tensor("slots_TK", slots_TK, (len(hidden_TH), None), INTEGERS, device)
    check_tensor("weights_TK", weights_TK, tuple(slots_TK.shape), (torch.float32,), device)
    for name, weight in (("gate_up", gate_up), ("down", down)):
        if not weight.is_contiguous():
            raise ValueError(f"{name} has strides {weight.stride()}; it must be contiguous")


def forward(
    gate_up: torch.Tensor,
    down: torch.Tensor,
    hidden_TH: torch.Tensor,
    slots_TK: torch.Tensor,
    weights_TK: torch.Tensor,
    *,
    unsorted_pairs_max: int = UNSORTED_PAIRS_MAX,
) -> torch.Tensor:
    """Weighted sums over the experts held, [T, H].

    gate_up     [E, 2 I, H] bf16 or float32: the rows of gate, then those of up
    down        [E, H, I], the same dtype
    hidden_TH   float32 or bf16; rounded to the weights' dtype
    slots_TK    which expert, int32 or int64; what names none of 0 .. E - 1 is an unused slot
    weights_TK  float32; not looked at in unused slots

    float32 weights give float64, each contribution a multiple of 2^-32 as in `moe.forward`: shards
    add exactly. bf16 gives float32. Nothing waits for the device, so a CUDA graph can hold it.
    Raises ValueError where a shape, dtype or device does not fit.
    """
    _check(gate_up, down, hidden_TH, slots_TK, weights_TK)
    device, exact = gate_up.device, gate_up.dtype == torch.float32
    tokens, top_k = slots_TK.shape
    experts, hidden, width = down.shape
    dtype = torch.float64 if exact else torch.float32
    out = torch.empty((tokens, hidden), dtype=dtype, device=device)
    pairs = slots_TK.numel()
    if not pairs:
        return out.zero_()
    hidden_TH = hidden_TH if hidden_TH.stride(1) == 1 else hidden_TH.contiguous()
    slots_TK, weights_TK = slots_TK.contiguous(), weights_TK.contiguous()
    columns, index, options = _blocks(slots_TK, experts, unsorted_pairs_max)
    inner = torch.empty((pairs, width), dtype=gate_up.dtype, device=device)
    parts = torch.empty((pairs, hidden), dtype=torch.float32, device=device)
    sizes = (pairs, experts, hidden, width)
    busy, block_m = min(columns, experts), options["BLOCK_M"]
    first = tiles(device, gate_up.dtype, busy, width, block_m, fused=True)
    second = tiles(device, gate_up.dtype, busy, hidden, block_m, fused=False)
    with torch.cuda.device_of(gate_up):
        _gate_up[(cdiv(width, first.channels), columns)](
            *(hidden_TH, gate_up, inner, *index, hidden_TH.stride(0), top_k, *sizes),
            **(options | first.options(hidden)),
        )
        _down[(cdiv(hidden, second.channels), columns)](
            *(inner, down, parts, *index, *sizes), **(options | second.options(width))
        )
        _sum[(tokens, cdiv(hidden, 1024))](
            parts, slots_TK, weights_TK, out, experts, top_k, hidden, EXACT=exact, BLOCK=1024
        )
    return out


def _blocks(
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

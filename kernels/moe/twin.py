"""Routed experts on a GPU: gate, up and SwiGLU in one kernel, down in a second, sums in a third.

    sums_TH = twin.forward(gate_up, down, hidden_TH, slots_TK, weights_TK)

A pair is one (token, place among its K experts); which pairs a program does, `twin_pairs` says.
Weights are the left operand and tokens the right one, so that 64 channels and more fill the tensor
cores' rows where a small batch could not. Contributions are summed in a kernel of their own, by
ascending place: the same bits each time, which atomic additions would not give.
Letters: T tokens, H hidden, K experts a token, P pairs, E experts, I inner width.
"""

import torch
import triton.language as tl

from kernels.gpu import FLOATS, INTEGERS, cdiv, check_tensor, dot, jit, rounded, without_gaps
from kernels.moe.twin_pairs import UNSORTED_PAIRS_MAX, cut_pairs, in_order, led
from kernels.moe.twin_tiles import tiles

# kernels.moe.ref.GRID; and from 2^52 on every float64 is a whole number.
GRID, WHOLE = tl.constexpr(2.0**32), tl.constexpr(2.0**52)


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
        expert, pairs, here = in_order(order, starts, num_experts, SPAN, BLOCK_M)
    else:
        expert, pairs, here = led(slots, num_pairs, num_experts, SPAN, BLOCK_M)
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
        expert, pairs, here = in_order(order, starts, num_experts, SPAN, BLOCK_M)
    else:
        expert, pairs, here = led(slots, num_pairs, num_experts, SPAN, BLOCK_M)
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
    exact = gate_up.dtype == torch.float32
    tokens, top_k = slots_TK.shape
    experts, hidden, _ = down.shape
    dtype = torch.float64 if exact else torch.float32
    out = torch.empty((tokens, hidden), dtype=dtype, device=gate_up.device)
    if not slots_TK.numel():
        return out.zero_()
    hidden_TH = without_gaps(hidden_TH)
    slots_TK, weights_TK = slots_TK.contiguous(), weights_TK.contiguous()
    with torch.cuda.device_of(gate_up):
        parts = _products(gate_up, down, hidden_TH, slots_TK, unsorted_pairs_max)
        _sum[(tokens, cdiv(hidden, 1024))](
            parts, slots_TK, weights_TK, out, experts, top_k, hidden, EXACT=exact, BLOCK=1024
        )
    return out


def _products(
    gate_up: torch.Tensor,
    down: torch.Tensor,
    hidden_TH: torch.Tensor,
    slots_TK: torch.Tensor,
    unsorted_pairs_max: int,
) -> torch.Tensor:
    """What each pair's expert makes of its token, unweighted: [P, H] float32."""
    device, dtype = gate_up.device, gate_up.dtype
    experts, hidden, width = down.shape
    pairs, top_k = slots_TK.numel(), slots_TK.shape[1]
    columns, index, options = cut_pairs(slots_TK, experts, unsorted_pairs_max)
    inner = torch.empty((pairs, width), dtype=dtype, device=device)
    parts = torch.empty((pairs, hidden), dtype=torch.float32, device=device)
    sizes = (pairs, experts, hidden, width)
    busy, block_m = min(columns, experts), options["BLOCK_M"]
    first = tiles(device, dtype, busy, width, block_m, fused=True)
    second = tiles(device, dtype, busy, hidden, block_m, fused=False)
    _gate_up[(cdiv(width, first.channels), columns)](
        *(hidden_TH, gate_up, inner, *index, hidden_TH.stride(0), top_k, *sizes),
        **(options | first.options(hidden)),
    )
    _down[(cdiv(hidden, second.channels), columns)](
        *(inner, down, parts, *index, *sizes), **(options | second.options(width))
    )
    return parts

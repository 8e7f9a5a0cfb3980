"""Routed experts in bf16: few tokens name few experts, so several calls name others each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.triton.case import Case, differs
from kernels.moe import twin


@dataclass(frozen=True)
class Experts:
    """gate_up [E, 2 I, H] and down [E, H, I], bf16."""

    gate_up: torch.Tensor
    down: torch.Tensor

    @property
    def num_bytes_each(self) -> int:
        return 2 * (self.gate_up[0].numel() + self.down[0].numel())


def experts(device: torch.device, count: int, hidden: int, inner: int) -> Experts:
    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.bfloat16, device=device).mul_(shape[-1] ** -0.5)

    return Experts(drawn(count, 2 * inner, hidden), drawn(count, hidden, inner))


def draws(count: int, tokens: int, top_k: int) -> list[torch.Tensor]:
    """Slots [T, K] of each call: all experts once in turn, or each token's own draw."""
    pairs = tokens * top_k
    if pairs <= count:
        order = torch.randperm(count)[: count // pairs * pairs]
        return list(order.view(-1, tokens, top_k))
    return [torch.stack([torch.randperm(count)[:top_k] for _ in range(tokens)])]


def moe_case(weights: Experts, tokens: int, top_k: int) -> Case:
    count, hidden, inner = weights.down.shape
    device = weights.down.device
    drawn = draws(count, tokens, top_k)
    slots = [one.to(device) for one in drawn]
    x = torch.randn((tokens, hidden), dtype=torch.bfloat16, device=device)
    shares = torch.rand((tokens, top_k), device=device) + 0.1

    def call() -> list[torch.Tensor]:
        return [twin.forward(weights.gate_up, weights.down, x, one, shares) for one in slots]

    def wrong(outs: Sequence[torch.Tensor]) -> str:
        """The last token of the last call."""
        want = torch.zeros(hidden, dtype=torch.float64, device=device)
        for slot, share in zip(drawn[-1][-1].tolist(), shares[-1], strict=True):
            both = weights.gate_up[slot].double() @ x[-1].double()
            inside = torch.nn.functional.silu(both[:inner]) * both[inner:]
            want += share * (weights.down[slot].double() @ inside)
        return differs(outs[-1][-1], want)

    active = sum(len(one.unique()) for one in drawn) * weights.num_bytes_each
    name = (
        f"MoE bf16, {tokens} tokens, {top_k} of {count} experts of {hidden} x {inner}, "
        f"{active / len(drawn) / 2**20:,.0f} MiB of weights a call, {len(drawn)} calls"
    )
    return Case(name, active + len(drawn) * tokens * hidden * (2 + 4), call, wrong)

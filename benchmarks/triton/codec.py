"""The dispatch codec: pack, unpack to bf16, reduce."""

import torch

from benchmarks.triton.case import Case, unequal
from kernels.codec import ref, twin

CHECKED = 8  # tokens or rows that are held beside the reference


def codec_cases(
    device: torch.device, tokens: int, hidden: int, named: int, num_destinations: int
) -> list[Case]:
    """Each token goes to `named` destinations, and comes back from each."""
    x = torch.randn((tokens, hidden), dtype=torch.bfloat16, device=device)
    drawn = [torch.randperm(num_destinations)[:named] for _ in range(tokens)]
    to = torch.stack(drawn).to(device, torch.int32)
    payload, tokens_R, offsets = twin.pack(x, to, num_destinations)
    rows_RH = twin.unpack(payload, hidden, torch.bfloat16)
    ranks_R = torch.repeat_interleave(
        torch.arange(num_destinations, dtype=torch.int32, device=device), offsets.diff()
    )

    def pack() -> tuple[torch.Tensor, ...]:
        return twin.pack(x, to, num_destinations, check=False)

    def pack_wrong(packed: tuple[torch.Tensor, ...]) -> str:
        mine = packed[1] < CHECKED
        first, named_first = x[:CHECKED].float().cpu().numpy(), to[:CHECKED].cpu().numpy()
        want, _, _ = ref.pack(first, named_first, num_destinations)
        return unequal("bytes", packed[0][mine], torch.from_numpy(want))

    def unpack() -> torch.Tensor:
        return twin.unpack(payload, hidden, torch.bfloat16)

    def unpack_wrong(rows: torch.Tensor) -> str:
        want = torch.from_numpy(ref.unpack(payload[-CHECKED:].cpu().numpy(), hidden))
        return unequal("rows", rows[-CHECKED:], want.bfloat16())

    def reduce() -> torch.Tensor:
        return twin.reduce(rows_RH, tokens_R, ranks_R, tokens, num_destinations, check=False)

    def reduce_wrong(sums: torch.Tensor) -> str:
        mine = tokens_R < CHECKED
        rows = rows_RH[mine].float().cpu().numpy()
        token, rank = tokens_R[mine].cpu().numpy(), ranks_R[mine].cpu().numpy()
        want = ref.reduce(rows, token, rank, min(tokens, CHECKED))
        return unequal("sums", sums[:CHECKED], torch.from_numpy(want))

    shape = f"{tokens:,} x {hidden:,} to {named} of {num_destinations}"
    rows_bytes = 2 * rows_RH.numel()
    return [
        Case(f"codec pack, {shape}", 2 * x.numel() + payload.numel(), pack, pack_wrong),
        Case(f"codec unpack, {shape}", payload.numel() + rows_bytes, unpack, unpack_wrong),
        Case(f"codec reduce, {shape}", rows_bytes + 4 * x.numel(), reduce, reduce_wrong),
    ]

"""How the experts' products are cut into tiles, one a program."""

from dataclasses import dataclass

import torch

from kernels.gpu import cdiv, wave


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

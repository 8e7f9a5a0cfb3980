"""Latent attention in numpy: what the native code must agree with, and what runs without it.

Letters: T tokens, H heads, L latent channels, R rope channels, D = L + R, S slots of a block. A
block has the native layout, byte for byte: [layer][slot][row], a row being D fp32, D bf16, or D
int8 codes and the fp32 scales of latent and of rope.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.numbers import Floats, from_bf16, int8_rows, quiet, to_bf16
from kernels.paged.layout import Layout
from kernels.paged.ref import Blocks, check_size

ITEM_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}


class Cache(Blocks):
    """Blocks as bytes, [num_blocks, layers, slots, row_bytes]."""

    def __init__(
        self, kind: str, num_blocks: int, block_size: int, layers: int, latent: int, rope: int
    ) -> None:
        check_size("latent", latent, 4096, 16)
        check_size("rope", rope, 4096, 16)
        self.latent, self.rope = latent, rope
        row_bytes = (latent + rope) * ITEM_BYTES[kind] + (8 if kind == "int8" else 0)
        super().__init__(kind, num_blocks, block_size, layers, (block_size, row_bytes))

    def rows(self, blocks: NDArray[Any], layer: int, widened: bool = False) -> Floats:
        """fp32 [len(blocks) x S, D]: what the bytes stand for.

        widened: int8 as the arithmetic takes it, rounded to bf16.
        """
        raw = np.ascontiguousarray(self.data[blocks, layer])
        raw = raw.reshape(len(blocks) * self.block_size, raw.shape[-1])
        if self.kind == "fp32":
            return raw.view(np.float32)
        if self.kind == "bf16":
            return from_bf16(raw.view(np.uint16))
        codes = raw[:, :-8].view(np.int8).astype(np.float32)
        scales = np.ascontiguousarray(raw[:, -8:]).view(np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            rows = codes * np.repeat(scales, [self.latent, self.rope], axis=1)
        return from_bf16(to_bf16(rows)) if widened else rows

    def write(
        self, layer: int, blocks: NDArray[Any], offsets: NDArray[Any], rows_TD: Floats
    ) -> None:
        self.check_slots(blocks, offsets)
        self.data[blocks, layer, offsets] = self._bytes(rows_TD)

    def _bytes(self, rows_TD: Floats) -> NDArray[np.uint8]:
        if self.kind == "fp32":
            return np.ascontiguousarray(rows_TD).view(np.uint8)
        if self.kind == "bf16":
            return to_bf16(rows_TD).view(np.uint8)
        parts = []
        with np.errstate(invalid="ignore"):
            for part in (rows_TD[:, : self.latent], rows_TD[:, self.latent :]):
                codes, scales = int8_rows(part, part.shape[1])
                parts.append((codes[:, 0].view(np.uint8), scales.view(np.uint8)))
        return np.concatenate([parts[0][0], parts[1][0], parts[0][1], parts[1][1]], axis=1)


@quiet
def forward(
    cache: Cache,
    layer: int,
    q_THD: Floats,
    layout: Layout,
    window: int,
    scale: float,
    out_THL: NDArray[Any],
    lse_TH: NDArray[Any] | None,
) -> None:
    """Token by token, in float64; a row's bits do not depend on the rows beside it."""
    if cache.kind != "fp32":
        q_THD = from_bf16(to_bf16(q_THD))
    for token, (held, slots) in enumerate(cache.seen(layout, window)):
        rows = cache.rows(held, layer, widened=True)[slots]
        out_THL[token], lse = attend(q_THD[token], rows, cache.latent, scale)
        if lse_TH is not None:
            lse_TH[token] = lse


def attend(
    q_HD: Floats, rows_KD: Floats, latent: int, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One token's heads over all given keys: (out [H, L], log-sum-exp [H]); 0, -inf without any."""
    heads = len(q_HD)
    if not len(rows_KD):
        return np.zeros((heads, latent)), np.full(heads, -np.inf)
    rows = rows_KD.astype(np.float64)
    scores = q_HD.astype(np.float64) @ rows.T * scale
    most = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - most)
    total = weights.sum(axis=-1, keepdims=True)
    return weights / total @ rows[:, :latent], (most + np.log(total))[:, 0]

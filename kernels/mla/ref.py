"""Latent attention in numpy: what the native code must agree with, and what runs without it.

Letters: T tokens, H heads, L latent channels, R rope channels, D = L + R, S slots of a block. A
block has the native layout, byte for byte: [layer][slot][row], a row being D fp32, D bf16, or D
int8 codes and the fp32 scales of latent and of rope.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.attention.layout import Layout
from kernels.numbers import Floats, from_bf16, int8_rows, to_bf16

# Keys of a native step: they must lie in one block.
STEP = 16
ITEM_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}


class Cache:
    """Blocks as bytes, [num_blocks, layers, slots, row_bytes]."""

    def __init__(
        self, kind: str, num_blocks: int, block_size: int, layers: int, latent: int, rope: int
    ) -> None:
        for name, value, most, step in (
            ("num_blocks", num_blocks, 2**31 - 1, 1),
            ("block_size", block_size, 256, STEP),
            ("num_layers", layers, 65536, 1),
            ("latent", latent, 4096, 16),
            ("rope", rope, 4096, 16),
        ):
            if not step <= value <= most or value % step:
                multiple = f"a multiple of {step} " if step > 1 else ""
                raise ValueError(f"{name} is {value}; it must be {multiple}from {step} to {most}")
        self.kind, self.block_size, self.latent, self.rope = kind, block_size, latent, rope
        row_bytes = (latent + rope) * ITEM_BYTES[kind] + (8 if kind == "int8" else 0)
        self.data = np.zeros((num_blocks, layers, block_size, row_bytes), dtype=np.uint8)

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
        known = (blocks >= 0) & (blocks < len(self.data))
        known &= (offsets >= 0) & (offsets < self.block_size)
        if not known.all():
            t = int(np.argmin(known))
            raise ValueError(
                f"token {t} goes to block {blocks[t]}, offset {offsets[t]}; there are "
                f"{len(self.data)} blocks of {self.block_size}"
            )
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
    token = 0
    for s, count in enumerate(layout.counts_S):
        first, end = int(layout.first_keys_S[s]), int(layout.end_keys_S[s])
        table = layout.blocks[layout.block_offsets[s] : layout.block_offsets[s + 1]]
        for position in range(layout.starts_S[s], layout.starts_S[s] + count):
            begin = max(first, position - window + 1) if window else first
            num = max(0, min(end, position + 1) - begin)
            skip = (begin - first) % cache.block_size
            held = table[(begin - first) // cache.block_size :]
            held = held[: -(-(num + skip) // cache.block_size) if num else 0]
            if ((held < 0) | (held >= len(cache.data))).any():
                raise ValueError(
                    f"sequence {s}: a block is {held.min()} or {held.max()}; it must be from 0 to "
                    f"{len(cache.data) - 1}"
                )
            rows = cache.rows(held, layer, widened=True)[skip : skip + num]
            out_THL[token], lse = attend(q_THD[token], rows, cache.latent, scale)
            if lse_TH is not None:
                lse_TH[token] = lse
            token += 1


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

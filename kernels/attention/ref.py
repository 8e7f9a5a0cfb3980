"""Paged attention in numpy: what the native code must agree with, and what runs without it.

Letters: T tokens, N heads, D head_dim, S slots of a block. A block has the native layout, byte for
byte: [layer][kv head][tile of 16 slots], a tile is K [channel unit][slot][4 bytes], V [slot
unit][channel][4 bytes], and for int8 16 scales of K and 16 of V.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.numbers import Floats, from_bf16, int8_rows, quiet, to_bf16
from kernels.paged.layout import Layout
from kernels.paged.ref import STEP as TILE
from kernels.paged.ref import Blocks, check_size

# Elements of a 4-byte unit.
UNITS = {"fp32": 1, "bf16": 2, "int8": 4}
_DTYPES = {"fp32": np.float32, "bf16": np.uint16, "int8": np.uint8}


class Cache(Blocks):
    """Blocks as bytes, [num_blocks, layers, kv heads, tiles, tile_bytes]."""

    def __init__(
        self, kind: str, num_blocks: int, block_size: int, layers: int, heads: int, dim: int
    ) -> None:
        check_size("num_kv_heads", heads, 4096)
        check_size("head_dim", dim, 256, TILE)
        self.dim, self.half = dim, TILE * dim * 4 // UNITS[kind]
        tile_bytes = 2 * self.half + (2 * TILE * 4 if kind == "int8" else 0)
        tiles = (heads, block_size // TILE, tile_bytes)
        super().__init__(kind, num_blocks, block_size, layers, tiles)

    def _parts(self, blocks: NDArray[Any], layer: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Codes [B, heads, tiles, slot, D] of K and of V, copies."""
        per, tiles = UNITS[self.kind], self.data[blocks, layer]
        dtype, half = _DTYPES[self.kind], self.half
        lead = tiles.shape[:3]
        k = np.ascontiguousarray(tiles[..., :half]).view(dtype)
        v = np.ascontiguousarray(tiles[..., half : 2 * half]).view(dtype)
        k = k.reshape(*lead, self.dim // per, TILE, per).swapaxes(-3, -2)
        v = v.reshape(*lead, TILE // per, self.dim, per).swapaxes(-2, -1)
        return k.reshape(*lead, TILE, self.dim), v.reshape(*lead, TILE, self.dim)

    def keys_and_values(self, blocks: NDArray[Any], layer: int) -> tuple[Floats, Floats]:
        """fp32 [len(blocks) x S, heads, D] of K and of V."""
        k, v = self._parts(blocks, layer)
        if self.kind == "bf16":
            k, v = from_bf16(k), from_bf16(v)
        elif self.kind == "int8":
            raw = np.ascontiguousarray(self.data[blocks, layer][..., 2 * self.half :])
            scales = raw.view(np.float32).reshape(*k.shape[:3], 2, TILE, 1)
            k = (k.astype(np.float32) - np.float32(128)) * scales[..., 0, :, :]
            v = v.view(np.int8).astype(np.float32) * scales[..., 1, :, :]
        heads = k.shape[1]
        rows = (len(blocks) * self.block_size, heads, self.dim)
        keys, values = (x.transpose(0, 2, 3, 1, 4).reshape(rows) for x in (k, v))
        return keys, values

    def write(
        self, layer: int, blocks: NDArray[Any], offsets: NDArray[Any], k: Floats, v: Floats
    ) -> None:
        self.check_slots(blocks, offsets)
        per, half = UNITS[self.kind], self.half
        for t, (block, offset) in enumerate(zip(blocks, offsets, strict=True)):
            tile, lane = self.data[block, layer, :, offset // TILE], offset % TILE
            key, key_scales = self._codes(k[t])
            value, value_scales = self._codes(v[t])
            heads = len(key)
            if self.kind == "int8":
                key = key ^ np.uint8(0x80)
                scales = tile[:, 2 * half :].view(np.float32)
                scales[:, lane], scales[:, TILE + lane] = key_scales, value_scales
            dtype = _DTYPES[self.kind]
            units = (heads, self.dim // per, TILE, per)
            tile[:, :half].view(dtype).reshape(units)[:, :, lane] = key.reshape(heads, -1, per)
            units = (heads, TILE // per, self.dim, per)
            out = tile[:, half : 2 * half].view(dtype).reshape(units)
            out[:, lane // per, :, lane % per] = value

    def _codes(self, x_ND: Floats) -> tuple[NDArray[Any], Floats]:
        if self.kind == "fp32":
            return x_ND, x_ND
        if self.kind == "bf16":
            return to_bf16(x_ND), x_ND
        with np.errstate(invalid="ignore"):
            codes, scales = int8_rows(x_ND, self.dim)
        return codes[:, 0].view(np.uint8), scales[:, 0]


def rounded_query(q_TND: Floats, kind: str) -> Floats:
    """What a kind makes of queries, as fp32."""
    if kind == "bf16":
        return from_bf16(to_bf16(q_TND))
    if kind == "int8":
        codes, scales = int8_rows(q_TND.reshape(-1, q_TND.shape[-1]), q_TND.shape[-1])
        return (codes[:, 0] * scales).reshape(q_TND.shape)
    return q_TND


@quiet
def forward(
    cache: Cache,
    layer: int,
    q_TND: Floats,
    layout: Layout,
    window: int,
    scale: float,
    out_TND: NDArray[Any],
    lse_TN: NDArray[Any] | None,
) -> None:
    """Token by token, sums in float64; a row's bits do not depend on the rows beside it."""
    q_TND = rounded_query(q_TND, cache.kind)
    for token, (held, slots) in enumerate(cache.seen(layout, window)):
        k, v = cache.keys_and_values(held, layer)
        out_TND[token], lse = attend(q_TND[token], k[slots], v[slots], scale)
        if lse_TN is not None:
            lse_TN[token] = lse


def attend(
    q_ND: Floats, k_SHD: Floats, v_SHD: Floats, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One query's heads over all given keys: (out [N, D], log-sum-exp [N]); 0, -inf without any."""
    heads, dim = q_ND.shape
    groups = q_ND.reshape(k_SHD.shape[1], -1, dim).astype(np.float64)
    if not len(k_SHD):
        return np.zeros((heads, dim)), np.full(heads, -np.inf)
    scores = groups @ k_SHD.astype(np.float64).transpose(1, 2, 0) * scale
    most = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - most)
    total = weights.sum(axis=-1, keepdims=True)
    out = weights / total @ v_SHD.astype(np.float64).transpose(1, 0, 2)
    return out.reshape(heads, dim), (most + np.log(total)).reshape(heads)


def merge(
    outs_PTND: NDArray[Any], lses_PTN: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Partial results over disjoint keys as one, parts added in order, in float64."""
    lses = lses_PTN.astype(np.float64)
    most = lses.max(axis=0, initial=-np.inf)
    base = np.where(np.isneginf(most), 0.0, most)  # no key anywhere: exp(-inf - 0), never NaN
    weights = np.exp(lses - base)
    total = np.zeros(lses.shape[1:])
    out = np.zeros(outs_PTND.shape[1:])
    for part, weight in zip(outs_PTND, weights, strict=True):
        total += weight
        # A part that saw no key has weight 0, whatever it holds.
        out += np.where(weight[..., None] == 0, 0.0, part * weight[..., None])
    with np.errstate(divide="ignore"):
        lse = np.where(total > 0, base + np.log(total), -np.inf)
    return np.divide(out, total[..., None], out=out, where=total[..., None] > 0), lse

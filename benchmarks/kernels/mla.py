"""Absorbed latent attention, rows as of DeepSeek-V2 and V3: 512 channels of latent, 64 of rope.

All heads meet one row a key, so that reading bounds few heads and products bound many: 128 heads
take 242 operations a byte in bf16, 16 heads 30. torch multiplies the same rows of one layer,
contiguous, as models do that absorb in Python.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.kernels.case import DISTINCT_BYTES, Case
from benchmarks.kernels.contexts import LENGTHS, TOKENS, Contexts
from kernels import mla

LATENT, ROPE, BLOCK = 512, 64, 16
WIDTH = LATENT + ROPE
SCALE = 192**-0.5  # of a head before absorption: 128 channels and rope
ROW_BYTES = {"bf16": 2 * WIDTH, "int8": WIDTH + 8, "fp32": 4 * WIDTH}
# Of heads: 16 (V2 Lite, or a chip's part of V3), and all of V3's.
FEW, MANY = 16, 128
# Few heads read all of more than 1 GiB; many take long enough over one layer.
LAYERS_OF_MANY = 1


def mla_cases(rng: np.random.Generator, chosen: re.Pattern[str]) -> Iterator[Case]:
    kinds: tuple[mla.Kind, ...] = ("bf16", "int8", "fp32")
    for kind in kinds:
        if chosen.search(f"mla {kind}"):
            yield from decode_cases(rng, kind)


def decode_cases(rng: np.random.Generator, kind: mla.Kind) -> Iterator[Case]:
    contexts = Contexts(rng, BLOCK)
    layers = -(-DISTINCT_BYTES // (TOKENS * ROW_BYTES[kind]))
    cache = mla.LatentCache(kind, contexts.num_blocks, BLOCK, layers, LATENT, ROPE)
    rows = rng.standard_normal((max(LENGTHS), WIDTH), dtype=np.float32)
    for layout in contexts.filled:
        slots, count = layout.slots(BLOCK), layout.num_tokens
        for layer in range(layers):
            cache.write(layer, *slots, rows[:count, :LATENT], rows[:count, LATENT:])

    read = TOKENS * ROW_BYTES[kind]  # of a layer

    def once_with(heads: int, layers: int) -> Callable[[], int]:
        q = rng.standard_normal((len(LENGTHS), heads, WIDTH), dtype=np.float32)
        out = np.empty((len(LENGTHS), heads, LATENT), dtype=np.float32)

        def once() -> int:
            for layer in range(layers):
                mla.forward(cache, layer, q, contexts.step, out, scale=SCALE)
            return layers * read

        return once

    name = f"absorbed MLA decode {kind}, 16 sequences of 4-8 k"
    # Codes become bf16 before they are multiplied.
    peak: mla.Kind = "fp32" if kind == "fp32" else "bf16"
    is_main = kind == "bf16"
    whole = torch.from_numpy(rows).bfloat16()
    copies = [whole[:length].clone() for length in LENGTHS] if is_main else []
    for heads, passes in ((FEW, layers), (MANY, LAYERS_OF_MANY)):
        yield Case(
            f"{name}, {heads} heads",
            once_with(heads, passes),
            peak,
            operations(heads) / read,
            75 if is_main else None,
            70 if is_main else None,
            torch_once(copies, heads, read) if is_main else None,
        )


def operations(heads: int) -> int:
    """Of one layer: scores over whole rows, sums over latents; a multiply-add is two."""
    return 2 * TOKENS * heads * (WIDTH + LATENT)


def torch_once(copies: list[torch.Tensor], heads: int, num_bytes: int) -> Callable[[], int]:
    q = torch.randn(heads, WIDTH).bfloat16()

    def once() -> int:
        for rows in copies:
            weights = torch.softmax(q @ rows.T * SCALE, dim=-1, dtype=torch.float32)
            weights.bfloat16() @ rows[:, :LATENT]
        return num_bytes

    return once

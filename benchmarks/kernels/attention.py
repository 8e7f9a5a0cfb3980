"""Paged attention: decode over long contexts, and the prefill of a chunk.

Grouped queries as in Llama 3 8B and Qwen3 8B: 32 query heads, 8 KV heads of 128. torch gets the
same keys and values of one layer contiguous, sequence by sequence, since their lengths differ, and
in decode the heads of a group as query rows of one head: so it need not repeat keys.
"""

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from benchmarks.kernels.case import DISTINCT_BYTES, Case
from benchmarks.kernels.contexts import LENGTHS, TOKENS, Contexts
from kernels import attention

HEADS, KV_HEADS, HEAD_DIM, BLOCK = 32, 8, 128, 16
# K and V of one token in one KV head; int8 has two scales.
TOKEN_BYTES = {"bf16": 4 * HEAD_DIM, "int8": 2 * HEAD_DIM + 8, "fp32": 8 * HEAD_DIM}
CHUNK = 512  # tokens of the prefill


def attention_cases(rng: np.random.Generator, chosen: re.Pattern[str]) -> Iterator[Case]:
    kinds: tuple[attention.Kind, ...] = ("bf16", "int8", "fp32")
    for kind in kinds:
        if chosen.search(f"attention {kind}"):
            yield from decode_cases(rng, kind)
    if chosen.search("attention prefill"):
        yield from (prefill_case(rng, context) for context in (0, 4096))


def decode_cases(rng: np.random.Generator, kind: attention.Kind) -> Iterator[Case]:
    contexts = Contexts(rng, BLOCK)
    layer_bytes = TOKENS * KV_HEADS * TOKEN_BYTES[kind]
    layers = -(-DISTINCT_BYTES // layer_bytes)
    cache = attention.KvCache(kind, contexts.num_blocks, BLOCK, layers, KV_HEADS, HEAD_DIM)
    k, v = rng.standard_normal((2, max(LENGTHS), KV_HEADS, HEAD_DIM), dtype=np.float32)
    for layout in contexts.filled:
        slots, count = layout.slots(BLOCK), layout.num_tokens
        for layer in range(layers):
            cache.write(layer, *slots, k[:count], v[:count])

    def once_over(layouts: Sequence[attention.Layout]) -> Callable[[], int]:
        q = rng.standard_normal((layouts[0].num_tokens, HEADS, HEAD_DIM), dtype=np.float32)
        out = np.empty_like(q)

        def once() -> int:
            for layer in range(layers):
                for layout in layouts:
                    attention.forward(cache, layer, q, layout, out)
            return layers * layer_bytes

        return once

    bar, avx2_bar = (85, 80) if kind != "fp32" else (None, None)
    twin = torch_once(k, v) if kind == "bf16" else None
    name = f"attention {kind}, GQA 32 / 8 x {HEAD_DIM}"
    # Each of a group's heads meets a key's and a value's channels once.
    intensity = 4 * HEAD_DIM * HEADS / KV_HEADS / TOKEN_BYTES[kind]
    many, one = once_over([contexts.step]), once_over(contexts.alone)
    yield Case(f"{name}, 16 sequences of 4-8 k", many, kind, intensity, bar, avx2_bar, twin)
    yield Case(f"{name}, 1 sequence of 4-8 k", one, kind, intensity, bar, avx2_bar)


def torch_once(k: np.ndarray, v: np.ndarray) -> Callable[[], int]:
    key, value = (torch.from_numpy(x).bfloat16().transpose(0, 1)[None] for x in (k, v))
    copies = [(key[:, :, :n].contiguous(), value[:, :, :n].contiguous()) for n in LENGTHS]
    q = torch.randn(1, KV_HEADS, HEADS // KV_HEADS, HEAD_DIM).bfloat16()

    def once() -> int:
        for key, value in copies:
            torch.nn.functional.scaled_dot_product_attention(q, key, value)
        return sum(key.nbytes + value.nbytes for key, value in copies)

    return once


def prefill_case(rng: np.random.Generator, context: int) -> Case:
    """A chunk of one sequence; its keys fit into caches, so that products decide."""
    tokens, repeats = context + CHUNK, 1 if context else 8
    cache = attention.KvCache("bf16", -(-tokens // BLOCK), BLOCK, 1, KV_HEADS, HEAD_DIM)
    blocks = rng.permutation(cache.num_blocks)
    k, v = rng.standard_normal((2, tokens, KV_HEADS, HEAD_DIM), dtype=np.float32)
    cache.write(0, *attention.Layout([attention.Span(0, tokens, blocks)]).slots(BLOCK), k, v)
    layout = attention.Layout([attention.Span(context, CHUNK, blocks)])
    q = rng.standard_normal((CHUNK, HEADS, HEAD_DIM), dtype=np.float32)
    out = np.empty_like(q)
    read = tokens * KV_HEADS * TOKEN_BYTES["bf16"]
    pairs = CHUNK * context + CHUNK * (CHUNK + 1) // 2  # of query and key, under the causal mask

    def once() -> int:
        for _ in range(repeats):
            attention.forward(cache, 0, q, layout, out)
        return repeats * read

    name = f"attention prefill bf16, {CHUNK} tokens after {context}"
    intensity = 4 * pairs * HEADS * HEAD_DIM / read
    return Case(name, once, "bf16", intensity, None, twin=torch_prefill_once(q, k, v, read))


def torch_prefill_once(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, num_bytes: int
) -> Callable[[], int]:
    query, key, value = (
        torch.from_numpy(x).bfloat16().transpose(0, 1)[None].contiguous() for x in (q, k, v)
    )
    # Its causal mask begins at the first key; a chunk in the middle of a text takes one of its own.
    context = len(k) - len(q)
    mask = torch.ones(len(q), len(k), dtype=torch.bool).tril(context) if context else None

    def once() -> int:
        torch.nn.functional.scaled_dot_product_attention(
            query, key, value, mask, is_causal=mask is None, enable_gqa=True
        )
        return num_bytes

    return once

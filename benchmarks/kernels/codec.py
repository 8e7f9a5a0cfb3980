"""The dispatch codec: tokens to int8 with a scale for each 128 channels, and sums on their return.

A pass takes a batch of tokens through pack or through reduce, again and again over distinct rows.
Bytes are what has to be read and what has to be written, each once.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.kernels.case import DISTINCT_BYTES, Case
from kernels import codec
from kernels.numbers import GROUP

TOKENS, HIDDEN, DESTINATIONS, TOP_K = 512, 4096, 8, 4


def codec_cases(rng: np.random.Generator, chosen: re.Pattern[str]) -> Iterator[Case]:
    if not chosen.search("codec"):
        return
    shape = f"{TOKENS} x {HIDDEN}"
    row = codec.row_bytes(HIDDEN)
    # Each token to TOP_K of the destinations.
    order = np.argsort(rng.random((TOKENS, DESTINATIONS)), axis=1)
    destinations = np.ascontiguousarray(order[:, :TOP_K], dtype=np.int32)
    block = rng.standard_normal((TOKENS, HIDDEN), dtype=np.float32)
    many = [block.copy() for _ in range(-(-DISTINCT_BYTES // block.nbytes))]

    def pack_once() -> int:
        for x_TH in many:
            codec.pack(x_TH, destinations, DESTINATIONS)
        return len(many) * (block.nbytes + TOKENS * TOP_K * row)

    name = f"codec pack, {shape} to {TOP_K} of {DESTINATIONS}"
    yield Case(name, pack_once, "fp32", 0.0, None, twin=torch_pack(many, destinations))

    tokens = np.tile(np.arange(TOKENS, dtype=np.int32), TOP_K)
    ranks = np.repeat(np.arange(TOP_K, dtype=np.int32), TOKENS)
    rows = [
        rng.permutation(np.concatenate(many[i : i + TOP_K])) for i in range(0, len(many), TOP_K)
    ]
    rows = [part for part in rows if len(part) == len(tokens)]

    def reduce_once() -> int:
        for rows_RH in rows:
            codec.reduce(rows_RH, tokens, ranks, TOKENS)
        return len(rows) * (rows[0].nbytes + block.nbytes)

    name = f"codec reduce, {TOP_K} rows of {shape}"
    yield Case(name, reduce_once, "fp32", 0.0, None, twin=torch_reduce(rows, tokens))


def _visits(destinations: np.ndarray) -> np.ndarray:
    """[destination, token]: whether the token goes there."""
    named: np.ndarray = destinations[None] == np.arange(DESTINATIONS)[:, None, None]
    return np.asarray(named.any(axis=-1))


def torch_pack(many: list[np.ndarray], destinations: np.ndarray) -> Callable[[], int]:
    """The same codes and scales by torch's operations, copied in order of destinations."""
    tensors = [torch.from_numpy(x).view(TOKENS, -1, GROUP) for x in many]
    rows = torch.from_numpy(np.nonzero(_visits(destinations))[1])

    def once() -> int:
        for x in tensors:
            scales = x.abs().amax(dim=-1, keepdim=True) / 127
            codes = (x / scales).round_().to(torch.int8)
            codes.view(TOKENS, -1)[rows], scales[rows]
        return len(tensors) * (tensors[0].nbytes + len(rows) * codec.row_bytes(HIDDEN))

    return once


def torch_reduce(rows: list[np.ndarray], tokens: np.ndarray) -> Callable[[], int]:
    """Rows added in the order in which they lie."""
    tensors = [torch.from_numpy(part) for part in rows]
    index = torch.from_numpy(tokens)

    def once() -> int:
        for part in tensors:
            torch.zeros(TOKENS, HIDDEN).index_add_(0, index, part)
        return len(tensors) * (tensors[0].nbytes + TOKENS * HIDDEN * 4)

    return once

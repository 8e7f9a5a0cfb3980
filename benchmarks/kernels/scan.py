"""Exact top-k over vectors near memory."""

import re
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.kernels.case import Case
from kernels import scan
from kernels.numbers import to_bf16

VECTORS, DIM = 1_000_000, 384


def scan_cases(rng: np.random.Generator, chosen: re.Pattern[str]) -> Iterator[Case]:
    if not chosen.search("scan int8"):
        return
    part = rng.standard_normal((VECTORS // 10, DIM)).astype(np.float32)
    shards = [scan.Shard("int8", VECTORS, DIM) for _ in range(4)]
    for shard in shards:
        for first in range(0, VECTORS, len(part)):
            shard.set(first, part)
    query = rng.standard_normal((1, DIM)).astype(np.float32)
    twin = torch.from_numpy(to_bf16(part).view(np.int16)).view(torch.bfloat16).repeat(10, 1)

    def once() -> int:
        for shard in shards:
            scan.top_k(shard, query, 10)
        return len(shards) * VECTORS * DIM

    def torch_once() -> int:
        torch.topk(twin @ torch.from_numpy(query[0]).bfloat16(), 10)
        return VECTORS * DIM  # the same vectors: torch has no int8 product, so bf16

    name = "vector scan int8, 1 M x 384, top 10"
    yield Case(name, once, "int8", 2.0, 85, twin=torch_once)  # a multiply-add for each byte

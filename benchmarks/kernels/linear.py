"""Dense linear layers at few rows."""

import re
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.kernels.case import DISTINCT_BYTES, Case
from kernels import linear
from kernels.numbers import KINDS

OUTPUTS, CHANNELS = 4096, 2048
BARS = {1: 85, 4: 85, 8: 80, 16: 80}  # by rows, of bf16


def linear_cases(rng: np.random.Generator, chosen: re.Pattern[str]) -> Iterator[Case]:
    for kind in KINDS:
        if not chosen.search(f"linear {kind}"):
            continue
        weight = rng.standard_normal((OUTPUTS, CHANNELS)).astype(np.float32)
        packed = [linear.pack(weight, kind)]
        while len(packed) * packed[0].num_bytes < DISTINCT_BYTES:
            packed.append(linear.pack(weight, kind))
        copies = [torch.from_numpy(weight).bfloat16() for _ in packed] if kind == "bf16" else []
        for rows in (1, 4, 8, 16) if kind == "bf16" else (4,):
            x = rng.standard_normal((rows, CHANNELS)).astype(np.float32)
            yield Case(
                f"dense linear {kind}, {rows} rows",
                linear_once(packed, x),
                kind,
                2 * rows * OUTPUTS * CHANNELS / packed[0].num_bytes,
                BARS[rows] if kind == "bf16" else None,
                twin=torch_linear_once(copies, x) if copies else None,
                twin_bar=3 if rows == 4 else None,
            )


def linear_once(packed: list[linear.Weights], x: np.ndarray) -> Callable[[], int]:
    out = np.empty((len(x), OUTPUTS), dtype=np.float32)

    def once() -> int:
        for weights in packed:
            linear.forward(weights, x, out)
        return sum(weights.num_bytes for weights in packed)

    return once


def torch_linear_once(copies: list[torch.Tensor], x: np.ndarray) -> Callable[[], int]:
    rows = torch.from_numpy(x).bfloat16()

    def once() -> int:
        for weight in copies:
            torch.nn.functional.linear(rows, weight)
        return sum(weight.nbytes for weight in copies)

    return once

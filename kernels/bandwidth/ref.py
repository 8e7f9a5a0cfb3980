"""The probes in numpy: a fair lower bound, for machines without the native library."""

from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read(region: NDArray[np.uint64]) -> int:
    """Nanoseconds to read all of it once, on one thread."""
    start = perf_counter_ns()
    np.bitwise_xor.reduce(region)
    return max(1, perf_counter_ns() - start)


def peak(rounds: int) -> float:
    """fp32 operations per second of numpy's matrix product, `rounds` times 256 cubed."""
    a: NDArray[Any] = np.full((256, 256), 1e-3, dtype=np.float32)
    start = perf_counter_ns()
    for _ in range(rounds):
        a @ a
    return 2.0 * 256**3 * rounds / max(1, perf_counter_ns() - start) * 1e9

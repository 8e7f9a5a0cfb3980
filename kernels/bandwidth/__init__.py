"""What this machine can do: the denominators of every fraction that is reported.

region = bandwidth.Region(2 << 30)
region.read_ns()                        # one pass over all of it, on all threads
bandwidth.peak("bf16")                  # operations a second
"""

import numpy as np

from kernels.bandwidth import ref
from kernels.native import lib
from kernels.numbers import Kind, check_kind


class Region:
    """Memory of its own to read, touched page by page. Larger than the caches it measures
    memory."""

    def __init__(self, num_bytes: int) -> None:
        if num_bytes < 64:
            raise ValueError(f"num_bytes is {num_bytes}; it must be at least 64")
        self.num_bytes = num_bytes // 64 * 64
        self._stored: object
        if lib is None:
            self._stored = np.ones(self.num_bytes // 8, dtype=np.uint64)
        else:
            self._stored = lib.bandwidth_create(self.num_bytes)

    def read_ns(self) -> int:
        """Nanoseconds of one read-only pass, on as many threads as the kernels use.

        With the hints to the processor that were the fastest of four in a short trial at the first
        pass: memory's speed is what no kernel reads faster than.
        """
        if isinstance(self._stored, np.ndarray):
            return ref.read(self._stored)
        return int(lib.bandwidth_read(self._stored))


def peak(kind: Kind, rounds: int = 20_000) -> float:
    """Operations a second (a multiply-add is two) of the products' inner loop on cached weights."""
    check_kind(kind)
    if lib is None:
        return ref.peak(max(1, rounds // 1000))
    return float(lib.bandwidth_peak(kind, rounds))

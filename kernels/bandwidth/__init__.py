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
    """Operations a second (a multiply-add is two) of multiply-adds on registers alone, on all
    threads: what no kernel of that kind exceeds on the instruction set in use.

    fp32 and, where bf16 has no instruction (avx2, avx512), bf16: FMA. Else bf16: dot products of
    pairs, or of tiles (amx). int8: VNNI's dot products of fours, or of tiles; on avx2 what is exact
    without them: pairs of bytes to words, pairs of words to sums, and these added, three
    instructions for 32 multiply-adds. int4: VNNI; on avx2 the words of eight steps are added before
    they become sums. portable: its plain loops.

    `rounds` are of 64 to 256 instructions; without the library a product of numpy's, see ref.py.
    Raises ValueError where the kind or the number of rounds is none.
    """
    check_kind(kind)
    if lib is None:
        return ref.peak(max(1, rounds // 1000))
    return float(lib.bandwidth_peak(kind, rounds))


def inner_loop(kind: Kind, rounds: int = 20_000) -> float:
    """Operations a second of our own products' inner loop on cached weights, with as many rows as
    a block can have: beside `peak` it says what a loop loses before memory does.

    `rounds` are of 32 k units. Raises ValueError where the kind or the number of rounds is none.
    """
    check_kind(kind)
    if lib is None:
        return ref.peak(max(1, rounds // 1000))
    return float(lib.bandwidth_inner_loop(kind, rounds))

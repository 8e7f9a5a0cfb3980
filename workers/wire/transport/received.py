"""Memory that a packet is received into, and whose arrays live on as views of it."""

from typing import Any

import numpy as np

from workers.wire.transport.base import Buffer
from workers.wire.transport.frame_arrays import ALIGNMENT_BYTES

ZEROED_BYTES_MAX = 64 * 1024  # a bytearray is cheaper up to here, though it is written twice


def memory(length: int) -> Buffer:
    """Bytes to receive into; long ones are not written first, and aligned as arrays like it."""
    if length <= ZEROED_BYTES_MAX:
        return bytearray(length)
    raw: Any = np.empty(length + ALIGNMENT_BYTES, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT_BYTES
    return memoryview(raw)[start : start + length]

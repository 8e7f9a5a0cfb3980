"""How arrays lie in a frame: each described in the header, then its bytes, aligned."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from protos.perfuse.v1 import envelope_pb2 as pb
from workers.errors import CorruptMessage
from workers.wire.roles import Array
from workers.wire.transport.base import Buffer

DIMENSIONS_MAX = 32  # numpy 1's limit, so that any numpy can hold what we accept
ALIGNMENT_BYTES = 64  # a cache line, and what the widest vector loads (AVX-512) ask for
DTYPES: dict[int, np.dtype[Any]] = {
    pb.DTYPE_BOOL: np.dtype("?"),
    pb.DTYPE_INT8: np.dtype("i1"),
    pb.DTYPE_INT16: np.dtype("<i2"),
    pb.DTYPE_INT32: np.dtype("<i4"),
    pb.DTYPE_INT64: np.dtype("<i8"),
    pb.DTYPE_UINT8: np.dtype("u1"),
    pb.DTYPE_UINT16: np.dtype("<u2"),
    pb.DTYPE_UINT32: np.dtype("<u4"),
    pb.DTYPE_UINT64: np.dtype("<u8"),
    pb.DTYPE_FLOAT16: np.dtype("<f2"),
    pb.DTYPE_FLOAT32: np.dtype("<f4"),
    pb.DTYPE_FLOAT64: np.dtype("<f8"),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
PADDING = tuple(bytes(length) for length in range(ALIGNMENT_BYTES))


def portable(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """The arrays contiguous and little-endian; the same mapping if, as usual, they all are."""
    for array in arrays.values():
        if array.dtype not in CODES or not array.flags.c_contiguous:
            return {name: _portable_array(name, a) for name, a in arrays.items()}
    return arrays


def _portable_array(name: str, array: Array) -> Array:
    dtype = array.dtype.newbyteorder("<")
    if dtype not in CODES:
        carried = ", ".join(str(known) for known in CODES)
        raise TypeError(f"array {name!r} has dtype {array.dtype}: a frame carries {carried}")
    return np.asarray(array, dtype=dtype, order="C")


def describe(descriptors: Any, arrays: Mapping[str, Array]) -> None:
    for name, array in arrays.items():
        descriptors.add(
            name=name, dtype=CODES[array.dtype], shape=array.shape, length_bytes=array.nbytes
        )


def view(
    buffer: Buffer, descriptors: Sequence[pb.ArrayDescriptor], into: dict[str, Array], end: int
) -> int:
    """Add a view of each described array, from byte `end` on; returns where the last ends."""
    for descriptor in descriptors:
        name, length = descriptor.name, descriptor.length_bytes
        shape = tuple(descriptor.shape)
        dtype = DTYPES.get(descriptor.dtype)
        if dtype is None:
            raise CorruptMessage(f"array {name!r} has dtype code {descriptor.dtype}: none such")
        if len(shape) > DIMENSIONS_MAX:
            raise CorruptMessage(
                f"array {name!r} has {len(shape)} dimensions: at most {DIMENSIONS_MAX}"
            )
        start = end + -end % ALIGNMENT_BYTES
        end = start + length
        if end > len(buffer):
            raise CorruptMessage(
                f"array {name!r} ends at byte {end}: the frame has {len(buffer)} bytes"
            )
        expected = dtype.itemsize
        for extent in shape:
            expected *= extent
        if expected != length:
            raise CorruptMessage(
                f"array {name!r} of {dtype} and shape {shape} is said to have {length} bytes: "
                f"it should have {expected}"
            )
        if name in into:
            raise CorruptMessage(f"two arrays are called {name!r}")
        try:
            into[name] = np.ndarray(shape, dtype, buffer, start)
        except (ValueError, TypeError, OverflowError) as error:  # 0 elements of absurd extents
            raise CorruptMessage(f"array {name!r} cannot have shape {shape}: {error}") from error
    return end

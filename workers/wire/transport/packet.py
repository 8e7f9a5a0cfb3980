"""Several frames as one unit of the wire: streams cost per message, so small frames share one.

A packet is frames end to end, each beginning at a multiple of 64 bytes, so that arrays stay
aligned. Frames know their own lengths; a packet of one frame is that frame.
"""

from collections.abc import Iterator, Sequence

from workers.errors import CorruptMessage
from workers.wire.transport.base import Buffer
from workers.wire.transport.frame import frame_length
from workers.wire.transport.frame_arrays import ALIGNMENT_BYTES, PADDING


def pack(frames: Sequence[bytes]) -> bytes:
    """One packet of at least one frame; a single frame is not copied."""
    if len(frames) == 1:
        return frames[0]
    parts = []
    for frame in frames:
        parts.append(frame)
        parts.append(PADDING[-len(frame) % ALIGNMENT_BYTES])
    return b"".join(parts[:-1])


def unpack(packet: Buffer) -> Iterator[Buffer]:
    """The frames of a packet, as views of it. Raises CorruptMessage where no whole frame begins."""
    if not packet:
        raise CorruptMessage("packet is empty: it should hold at least one frame")
    start, view = 0, memoryview(packet)
    while start < len(packet):
        length = frame_length(packet, start)
        yield packet if length == len(packet) else view[start : start + length]
        start += length + -length % ALIGNMENT_BYTES

"""A message as bytes, and back. Only this file knows the protobuf classes.

    0            4               8               12             20         multiple of 64
    | "PF" 1 0   | header length | header CRC-32 | frame length | Envelope | array | array ...

The first four bytes are two letters, the version of this layout, and 0. The prefix's integers are
little-endian; lengths are bytes. The arrays are the columns, then the tensors,
in the order of their descriptors, each at a multiple of 64 bytes from the start of the frame; zeros
fill the gaps. The header's CRC covers the Envelope; the Envelope's checksum covers body and arrays.
What is decoded holds read-only views of the received buffer, so the buffer lives as long as the
last of its arrays.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError

from protos.perfuse.v1 import envelope_pb2 as pb
from workers.errors import CorruptMessage
from workers.wire.kind import KINDS, Kind, Packed
from workers.wire.message import Message
from workers.wire.roles import Array
from workers.wire.transport.base import Buffer
from workers.wire.transport.frame_arrays import ALIGNMENT_BYTES, PADDING, describe, portable, view

MAGIC = b"PF\x01\x00"  # two letters, the version of this layout, and a byte that is 0
PREFIX = struct.Struct("<4sIIQ")  # magic, header length, header CRC-32, frame length
NO_CHECKSUM_ZERO = 0xFFFF_FFFF  # stands for a CRC of 0: in a Message 0 means "none"

_write_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_read_json = json.JSONDecoder().decode


def encode(message: Message[Any]) -> bytes:
    """The message as one frame, its parts joined; see `encode_parts`."""
    return b"".join(encode_parts(message))


def encode_parts(message: Message[Any]) -> list[Any]:
    """The message as one frame, in parts whose bytes stand one after the other; arrays are not
    copied.

    Its checksum is computed if it is 0, else trusted: it was made at the source.

    Raises TypeError for an array's dtype that no frame can carry and for a body that JSON cannot,
    ValueError for an integer that is out of its field's range.
    """
    packed = message.content.pack()
    body = _body_bytes(message.kind, packed.body)
    columns, tensors = portable(packed.columns), portable(packed.tensors)
    checksum = message.checksum or _checksum(body, columns, tensors)
    header = pb.Envelope(
        kind=message.kind,
        source=message.source,
        destination=message.destination,
        source_epoch=message.source_epoch,
        destination_epoch=message.destination_epoch,
        message_id=message.message_id,
        reply_to=message.reply_to,
        request_id=message.request_id,
        sent_ns=message.sent_ns,
        due_ns=message.due_ns,
        deadline_ns=message.deadline_ns,
        charged_bytes=message.charged_bytes,
        checksum=checksum,
        delay_ns=message.delay_ns,
        concluded=message.concluded,
        body=body,
    )
    describe(header.columns, columns)
    describe(header.tensors, tensors)
    header_bytes = header.SerializeToString()
    parts: list[Any] = [b"", header_bytes]
    end = PREFIX.size + len(header_bytes)
    for array in (*columns.values(), *tensors.values()):
        padding = -end % ALIGNMENT_BYTES
        parts.append(PADDING[padding])
        parts.append(array)
        end += padding + array.nbytes
    parts[0] = PREFIX.pack(MAGIC, len(header_bytes), zlib.crc32(header_bytes), end)
    return parts


def decode(buffer: Buffer) -> Message[Any]:
    """The message of exactly one frame; its arrays are read-only views of `buffer`.

    Raises CorruptMessage, whatever is wrong.
    """
    header_end = _check_prefix(buffer)
    header = pb.Envelope()
    try:
        header.ParseFromString(bytes(buffer[PREFIX.size : header_end]))
    except DecodeError as error:
        raise CorruptMessage(f"frame's header is no Envelope: {error}") from error
    readable = buffer if isinstance(buffer, bytes) else memoryview(buffer).toreadonly()
    columns: dict[str, Array] = {}
    tensors: dict[str, Array] = {}
    end = view(readable, header.columns, columns, header_end)
    end = view(readable, header.tensors, tensors, end)
    if end != len(buffer):
        raise CorruptMessage(f"frame of {len(buffer)} bytes: its arrays end at byte {end}")
    body, checksum = header.body, header.checksum
    found = _checksum(body, columns, tensors)
    if found != checksum:
        raise CorruptMessage(
            f"{header.kind!r} message {header.message_id} from {header.source!r} has checksum "
            f"{found:#010x}: its sender computed {checksum:#010x}"
        )
    return Message(
        _content(header.kind, Packed(_body_from(body), columns, tensors)),
        header.source,
        header.destination,
        request_id=header.request_id,
        deadline_ns=header.deadline_ns,
        reply_to=header.reply_to,
        message_id=header.message_id,
        source_epoch=header.source_epoch,
        destination_epoch=header.destination_epoch,
        sent_ns=header.sent_ns,
        due_ns=header.due_ns,
        charged_bytes=header.charged_bytes,
        checksum=checksum,
        delay_ns=header.delay_ns,
        concluded=header.concluded,
    )


def checksum(message: Message[Any]) -> int:
    """What a frame's checksum of this message is: CRC-32 over body, columns and tensors; never 0.

    Raises TypeError as `encode` does.
    """
    packed = message.content.pack()
    body = _body_bytes(message.kind, packed.body)
    return _checksum(body, portable(packed.columns), portable(packed.tensors))


def _content(kind: str, packed: Packed) -> Kind[Any]:
    known = KINDS.get(kind)
    if known is None:
        raise CorruptMessage(f"{kind!r} is no kind of message that is known here")
    try:
        return known.unpack(packed)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise CorruptMessage(f"{kind!r} message does not say what it should: {what}") from error


def frame_length(buffer: Buffer, start: int) -> int:
    """Bytes of the frame that begins at `start`.

    Raises CorruptMessage if none begins there or it is cut short.
    """
    room = len(buffer) - start
    if room < PREFIX.size:
        raise CorruptMessage(f"{room} bytes are left: a frame's prefix alone has {PREFIX.size}")
    magic, _, _, length = PREFIX.unpack_from(buffer, start)
    if magic != MAGIC:
        raise CorruptMessage(f"frame begins with {magic!r}: it should be {MAGIC!r}")
    if not PREFIX.size <= length <= room:
        raise CorruptMessage(f"frame says that it has {length} bytes: {room} are there")
    return int(length)


def _check_prefix(buffer: Buffer) -> int:
    """Where the header ends."""
    size = len(buffer)
    if size < PREFIX.size:
        raise CorruptMessage(f"frame has {size} bytes: its prefix alone has {PREFIX.size}")
    magic, header_length, header_crc, length = PREFIX.unpack_from(buffer)
    if magic != MAGIC:
        raise CorruptMessage(f"frame begins with {magic!r}: it should be {MAGIC!r}")
    if length != size:
        raise CorruptMessage(f"frame says that it has {length} bytes: {size} arrived")
    end = int(PREFIX.size + header_length)
    if end > size:
        raise CorruptMessage(f"header of {header_length} bytes ends beyond the frame of {size}")
    found = zlib.crc32(buffer[PREFIX.size : end])
    if found != header_crc:
        raise CorruptMessage(
            f"header has CRC {found:#010x}: its sender computed {header_crc:#010x}"
        )
    return end


def _checksum(body: bytes, columns: Mapping[str, Array], tensors: Mapping[str, Array]) -> int:
    crc = zlib.crc32(body)
    array: Any  # numpy's stubs do not say that arrays have the buffer protocol
    for array in columns.values():
        crc = zlib.crc32(array, crc)
    for array in tensors.values():
        crc = zlib.crc32(array, crc)
    return crc or NO_CHECKSUM_ZERO


def _body_bytes(kind: str, body: Mapping[str, Any]) -> bytes:
    if not body:
        return b""
    try:
        return _write_json(body).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(f"body of {kind!r} message is no JSON: {error}") from error


def _body_from(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        found = _read_json(body.decode())
    except (ValueError, RecursionError) as error:
        raise CorruptMessage(f"body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise CorruptMessage(f"body is a JSON {type(found).__name__}: it should be an object")
    return found

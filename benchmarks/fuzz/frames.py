"""What comes over a wire: frames, packets of them, and what a node says of itself when it dials.

The first byte says how the rest is taken: as it is, or as pieces (an Envelope, then what its arrays
hold) under lengths and checksums that fit, since no mutation would find those.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from google.protobuf.message import DecodeError

from benchmarks.fuzz.target import Target, chosen, joined, pieces
from cluster.api.kinds import Submit
from cluster.api.request import Request, Retrieval
from protos.perfuse.v1 import envelope_pb2 as pb
from workers.errors import CorruptMessage
from workers.model.sampling_params import SamplingParams
from workers.wire.kind import KINDS, Failed, Kind
from workers.wire.kinds import chip, experts, kv, memory
from workers.wire.message import Message
from workers.wire.roles import Array
from workers.wire.transport import frame, packet
from workers.wire.transport.frame_arrays import ALIGNMENT_BYTES, view
from workers.wire.transport.handshake import HandshakeError, Introduction


def sealed(envelope: bytes, arrays: bytes) -> bytes:
    """A frame whose lengths and checksums fit. Raises CorruptMessage where there is none."""
    header = pb.Envelope()
    try:
        header.ParseFromString(envelope)
    except DecodeError as error:
        raise CorruptMessage(str(error)) from error
    found: dict[str, Array] = {}
    view(arrays, header.tensors, found, view(arrays, header.columns, found, 0))
    crc = zlib.crc32(header.body)
    for array in found.values():
        crc = zlib.crc32(np.ascontiguousarray(array).tobytes(), crc)
    header.checksum = crc or frame.NO_CHECKSUM_ZERO
    said = header.SerializeToString()
    end = frame.PREFIX.size + len(said)
    padded = bytes(-end % ALIGNMENT_BYTES) + arrays if arrays else b""
    prefix = frame.PREFIX.pack(frame.MAGIC, len(said), zlib.crc32(said), end + len(padded))
    return prefix + said + padded


def _decoded(data: bytes) -> None:
    message = frame.decode(data)
    assert type(message.content) is KINDS[message.kind]
    frame.encode(message)  # as whoever passes it on does


def _sealed(data: bytes) -> None:
    parts = pieces(data)
    if len(parts) >= 2:
        _decoded(sealed(parts[0], parts[1]))


def _packet(data: bytes) -> None:
    for each in packet.unpack(data):
        frame.decode(each)


def _introduction(data: bytes) -> None:
    said = Introduction.decode(data)
    assert Introduction.decode(said.encode()) == said


READERS: tuple[Callable[[bytes], None], ...] = (_decoded, _sealed, _packet, _introduction)


def _read(data: bytes) -> None:
    which, said = chosen(data, len(READERS))
    READERS[which](said)


def _contents() -> list[Kind[object]]:
    request = Request(
        "r1", "m", SamplingParams(max_tokens=5, stop=("end",)), prompt="x",
        retrieval=Retrieval("cards", 3), deadline_ns=9,
    )  # fmt: skip
    index, sums = np.arange(2, dtype=np.int64), np.arange(2, dtype=np.uint64)
    rows = np.zeros((2, 4), np.float32)
    return [
        Submit(request, 9),
        Failed({"code": "not_found", "message": "no", "facts": {"param": "x"}}),
        experts.Dispatch(
            3, sums, index, np.zeros((2, 2), np.int32), np.zeros((2, 2), np.float32), rows
        ),
        experts.Combine(np.zeros((2, 4))),
        kv.KvBlocks(index, sums, rows.reshape(2, 2, 2)),
        kv.PoolGet(np.zeros((2, 16), np.uint8)),
        memory.Search("cards", 3, rows),
        chip.Aborted(True),
    ]


def _seeds() -> Sequence[bytes]:
    found = []
    for number, content in enumerate(_contents()):
        whole = frame.encode(Message(content, "router", "decode-0", message_id=number + 1))
        _, header_length, _, _ = frame.PREFIX.unpack_from(whole)
        end = frame.PREFIX.size + header_length
        envelope, arrays = whole[frame.PREFIX.size : end], whole[end + -end % ALIGNMENT_BYTES :]
        found += [b"\0" + whole, b"\1" + joined([envelope, arrays])]
    two = [one[1:] for one in found[:4:2]]
    hello = Introduction("decode-0", "127.0.0.1:1", b"12345678", b"worker", bytes(16))
    return [*found, b"\2" + packet.pack(two), b"\3" + hello.encode()]


TARGET = Target(
    "frames, packets and introductions of a wire",
    _read,
    (CorruptMessage, HandshakeError),
    _seeds,
    [frame.MAGIC, *sorted(KINDS)],
)

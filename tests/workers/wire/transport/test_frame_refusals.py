"""Frames that are refused, each with its reason."""

import json
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.perfuse.v1 import envelope_pb2 as pb
from tests.workers.wire.transport.messages import numbered
from workers.errors import CorruptMessage
from workers.wire.kind import KINDS
from workers.wire.kinds import chip, kv
from workers.wire.transport.frame import MAGIC, PREFIX, decode, encode
from workers.wire.transport.frame_arrays import ALIGNMENT_BYTES


def framed(envelope: pb.Envelope, payload: bytes = b"") -> bytes:
    """A frame with a right prefix around any header."""
    header = envelope.SerializeToString()
    gap = bytes(-(PREFIX.size + len(header)) % ALIGNMENT_BYTES) if payload else b""
    length = PREFIX.size + len(header) + len(gap) + len(payload)
    return PREFIX.pack(MAGIC, len(header), zlib.crc32(header), length) + header + gap + payload


def described(**fields: Any) -> pb.Envelope:
    body = b'{"body":{},"charged":0}'
    envelope = pb.Envelope(
        kind="parcel", body=body, checksum=zlib.crc32(bytes(8), zlib.crc32(body))
    )
    array = {"name": "t", "dtype": pb.DTYPE_INT64, "shape": [1], "length_bytes": 8} | fields
    envelope.tensors.add(**array)
    return envelope


def test_the_reference_frame_of_these_refusals_is_accepted() -> None:
    assert decode(framed(described(), bytes(8))).content.tensors["t"].tolist() == [0]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"dtype": pb.DTYPE_UNSPECIFIED}, "dtype code 0"),
        ({"dtype": 99}, "dtype code 99"),
        ({"shape": [2]}, "should have 16"),
        ({"shape": []}, None),
        ({"shape": [1] * 33}, "33 dimensions"),
        ({"shape": [2**64 - 1, 2**64 - 1]}, "should have"),
        ({"shape": [0, 2**63], "length_bytes": 0}, "cannot have shape"),
        ({"length_bytes": 16}, "ends at byte"),
        ({"length_bytes": 2**64 - 1}, "ends at byte"),
    ],
)
def test_a_descriptor_that_does_not_fit_is_refused(
    fields: dict[str, Any], complaint: str | None
) -> None:
    frame = framed(described(**fields), bytes(8))
    if complaint is None:
        assert decode(frame).content.tensors["t"].shape == ()
        return
    with pytest.raises(CorruptMessage, match=complaint):
        decode(frame)


def test_two_arrays_of_one_name_are_refused() -> None:
    envelope = described()
    envelope.tensors.add(name="t", dtype=pb.DTYPE_INT8, shape=[0], length_bytes=0)
    with pytest.raises(CorruptMessage, match="two arrays"):
        decode(framed(envelope, bytes(64)))


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff", b"null", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptMessage, match="body"):
        decode(framed(pb.Envelope(body=body, checksum=zlib.crc32(body))))


@pytest.mark.parametrize(
    ("kind", "body", "complaint"),
    [
        ("parsel", b"", "'parsel' is no kind of message"),
        ("parcel", b"", "KeyError: 'body'"),
        (kv.Start.kind, b'{"token":1}', "KeyError: 'prefilled_ns'"),
        (chip.Reserve.kind, b'{"prompt_ids":[1],"sampling":{"max_token":3}}', "max_token"),
        (chip.Prefill.kind, b'{"prompt_ids":1}', "'int' object is not iterable"),
    ],
)
def test_what_is_no_content_is_refused(kind: str, body: bytes, complaint: str) -> None:
    with pytest.raises(CorruptMessage, match=complaint):
        decode(framed(pb.Envelope(kind=kind, body=body, checksum=zlib.crc32(body) or 2**32 - 1)))


def test_a_wrong_checksum_is_refused_with_both_values() -> None:
    message = numbered(1)
    message.checksum = 0xABCD
    with pytest.raises(CorruptMessage, match="0x0000abcd"):
        decode(encode(message))


def test_a_frame_of_another_version_is_refused() -> None:
    frame = bytearray(encode(numbered(1)))
    frame[2] = 2
    with pytest.raises(CorruptMessage, match="begins with"):
        decode(frame)


def test_a_header_beyond_the_frame_is_refused() -> None:
    frame = bytearray(encode(numbered(1)))
    struct.pack_into("<I", frame, 4, 2**32 - 1)
    with pytest.raises(CorruptMessage, match="beyond the frame"):
        decode(frame)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=300)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    body=JSON,
    extents=st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 3), max_size=3),
    length=st.integers(0, 64),
    raw=st.binary(max_size=80),
)
def test_any_frame_with_right_checksums_is_a_message_or_corrupt(
    kind: str, body: Any, extents: list[int], length: int, raw: bytes
) -> None:
    """Of every kind, with any body and array: what its sender never wrote."""
    text = json.dumps(body).encode()
    for columns, tensors in (([], []), (["t"], []), ([], ["t"])):
        payload = bytes(length) if columns or tensors else b""
        envelope = pb.Envelope(
            kind=kind, body=text, checksum=zlib.crc32(payload, zlib.crc32(text)) or 1
        )
        for names, into in ((columns, envelope.columns), (tensors, envelope.tensors)):
            for name in names:
                into.add(name=name, dtype=pb.DTYPE_UINT8, shape=extents, length_bytes=length)
        with suppress(CorruptMessage):
            decode(framed(envelope, payload))
    with suppress(CorruptMessage):
        decode(raw)

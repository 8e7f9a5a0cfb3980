"""Frames: what goes in comes out, as views; what is damaged never comes out as something else."""

import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.workers.wire.parcel import Parcel
from tests.workers.wire.transport.messages import full_message, same
from workers.errors import CorruptMessage
from workers.wire.message import Message
from workers.wire.transport.frame import MAGIC, PREFIX, checksum, decode, encode
from workers.wire.transport.frame_arrays import ALIGNMENT_BYTES, CODES

U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)  # UTF-8 has no surrogates
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ARRAYS = st.dictionaries(
    TEXT,
    hnp.arrays(
        st.sampled_from(list(CODES)),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    ),
    max_size=3,
)
MESSAGES = st.builds(
    Message,
    st.builds(Parcel, st.dictionaries(TEXT, JSON, max_size=3), ARRAYS, ARRAYS),
    source=TEXT,
    destination=TEXT,
    source_epoch=U64,
    destination_epoch=U64,
    message_id=U64,
    reply_to=U64,
    request_id=TEXT,
    sent_ns=I64,
    due_ns=I64,
    deadline_ns=I64,
    charged_bytes=U64,
)


@given(MESSAGES)
def test_a_message_comes_out_as_it_went_in(message: Message[Any]) -> None:
    got = decode(encode(message))
    assert same(got, message)
    assert got.checksum == checksum(message) == checksum(got) != 0


@given(MESSAGES, st.sampled_from([bytes, bytearray, memoryview]))
def test_arrays_are_aligned_read_only_views_of_the_buffer(message: Message[Any], kind: Any) -> None:
    buffer = kind(encode(message))
    start = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]
    got = decode(buffer)
    for array in got.content.arrays():
        assert not array.flags.writeable
        address = array.__array_interface__["data"][0]
        if array.size:
            assert start <= address <= start + len(buffer) - array.nbytes
            assert (address - start) % ALIGNMENT_BYTES == 0


def test_every_kind_of_array_survives() -> None:
    message = full_message()
    assert same(decode(encode(message)), message)


def test_big_endian_arrays_arrive_with_equal_values() -> None:
    sent = np.arange(5, dtype=">i4")
    got = decode(encode(Message(Parcel(tensors={"t": sent}), "a", "b"))).content.tensors["t"]
    assert got.dtype == np.dtype("<i4")
    assert (got == sent).all()


def test_a_decoded_message_can_be_sent_on_and_keeps_its_checksum() -> None:
    first = decode(encode(full_message()))
    second = decode(encode(first))
    assert same(first, second)
    assert first.checksum == second.checksum


@given(MESSAGES, st.data())
def test_a_mutated_frame_is_refused_or_equal(message: Message[Any], data: st.DataObject) -> None:
    """Only the gaps between arrays may change unnoticed: they mean nothing."""
    frame = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at] = data.draw(st.integers(0, 255))
    try:
        got = decode(frame)
    except CorruptMessage:
        return
    assert same(got, message)


@given(MESSAGES, st.data())
def test_a_cut_spliced_or_longer_frame_is_refused(
    message: Message[Any], data: st.DataObject
) -> None:
    frame = encode(message)
    at = data.draw(st.integers(0, len(frame)))
    until = data.draw(st.integers(at, len(frame)))
    inserted = data.draw(st.binary(max_size=70))
    changed = frame[:at] + inserted + frame[until:]
    if changed == frame:
        return
    try:
        got = decode(changed)
    except CorruptMessage:
        return
    assert len(changed) == len(frame)
    assert same(got, message)


def test_every_truncation_is_refused() -> None:
    frame = encode(full_message())
    for length in range(len(frame)):
        with pytest.raises(CorruptMessage):
            decode(frame[:length])


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    for buffer in (noise, MAGIC + noise):
        with pytest.raises(CorruptMessage):
            decode(buffer)


@given(st.binary(max_size=200), st.binary(max_size=100))
def test_noise_behind_a_valid_prefix_is_refused_or_a_message(header: bytes, rest: bytes) -> None:
    """A sender that is not us may make the prefix right: still no other exception."""
    length = PREFIX.size + len(header) + len(rest)
    prefix = PREFIX.pack(MAGIC, len(header), zlib.crc32(header), length)
    with suppress(CorruptMessage):
        decode(prefix + header + rest)


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([1j]), np.array([object()])])
def test_an_array_that_no_frame_carries_is_the_senders_error(array: Any) -> None:
    with pytest.raises(TypeError, match="array 't' has dtype"):
        encode(Message(Parcel(tensors={"t": array}), "a", "b"))


def test_a_body_that_json_cannot_hold_is_the_senders_error() -> None:
    with pytest.raises(TypeError, match="body of 'parcel'"):
        encode(Message(Parcel({"x": np.zeros(1)}), "a", "b"))


def test_an_integer_out_of_range_is_the_senders_error() -> None:
    with pytest.raises(ValueError, match="-1"):
        encode(Message(Parcel(), "a", "b", message_id=-1))

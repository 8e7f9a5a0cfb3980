"""What the tests of the wires send, and when two messages are the same."""

from typing import Any

import numpy as np

from tests.workers.wire.parcel import Parcel
from workers.wire.message import Message
from workers.wire.transport.frame_arrays import CODES


def same(one: Message[Any], other: Message[Any]) -> bool:
    """Equal in all that a receiver can see; the checksum counts only where both have one."""
    fields = (
        "kind source destination source_epoch destination_epoch message_id reply_to request_id "
        "sent_ns due_ns deadline_ns charged_bytes"
    ).split()
    if any(getattr(one, field) != getattr(other, field) for field in fields):
        return False
    if one.checksum and other.checksum and one.checksum != other.checksum:
        return False
    ours, theirs = one.content.pack(), other.content.pack()
    arrays = ((ours.columns, theirs.columns), (ours.tensors, theirs.tensors))
    return ours.body == theirs.body and all(
        list(a) == list(b)
        and all(
            a[name].shape == b[name].shape
            and a[name].dtype == b[name].dtype
            and a[name].tobytes() == b[name].tobytes()
            for name in a
        )
        for a, b in arrays
    )


def numbered(message_id: int, size_bytes: int = 64) -> Message[Any]:
    """A small message that knows its place, in id and in content."""
    tensor = np.full(size_bytes // 8, message_id, np.int64)
    return Message(Parcel(tensors={"t": tensor}), "chip", "expert", message_id=message_id)


def full_message() -> Message[Any]:
    """Every field set; every dtype; contiguous and not; empty, scalar and 3-d arrays."""
    rng = np.random.Generator(np.random.PCG64(7))
    tensors = {str(dtype): rng.integers(0, 2, (3, 5)).astype(dtype) for dtype in CODES}
    tensors |= {
        "transposed": rng.random((4, 6)).T,
        "strided": np.arange(20, dtype=np.int16)[::3],
        "reversed": np.arange(5, dtype=np.float32)[::-1],
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 7), np.float16),
        "cube": rng.random((2, 3, 4)),
        "special": np.array([np.nan, np.inf, -0.0]),
    }
    columns = {"request": np.arange(3), "experts": rng.integers(0, 64, (3, 8), np.int32)}
    return Message(
        Parcel(
            {"layer": 3, "text": 'ß "quoted"', "nested": {"list": [1, 2.5, None, True]}},
            columns,
            tensors,
        ),
        source="chip/0",
        destination="expert/5",
        source_epoch=3,
        destination_epoch=2**40,
        message_id=2**63,
        reply_to=17,
        request_id="wünsch-1",
        sent_ns=10**15,
        due_ns=10**15 + 2000,
        deadline_ns=-1,
        charged_bytes=2**35,
    )

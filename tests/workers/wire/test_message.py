"""An envelope says nothing that nobody has put on it, and what it carries is not changed."""

import numpy as np
import pytest

from tests.workers.wire.parcel import Parcel
from workers.wire.kinds.memory import Search
from workers.wire.message import Message, freeze


def test_a_fresh_envelope_has_zeros_for_all_that_others_fill_in() -> None:
    """0 is "no answer to anything", "no deadline", "not sent yet", and as late as its path says."""
    message = Message(Parcel(), "a", "b")
    numbers = (
        message.source_epoch, message.destination_epoch, message.message_id, message.reply_to,
        message.sent_ns, message.due_ns, message.deadline_ns, message.charged_bytes,
        message.checksum, message.delay_ns, message.concluded,
    )  # fmt: skip
    assert numbers == (0,) * 11
    assert (message.request_id, message.caller, message.arriving) == ("", None, None)


def test_arrays_that_are_sent_are_changed_by_nobody() -> None:
    """One by itself, and several by name; a second time changes nothing."""
    queries, column, tensor = (np.ones((1, 2), np.float32) for _ in range(3))
    for content in (Search("s", 1, queries), Parcel(columns={"a": column}, tensors={"b": tensor})):
        freeze(content)
        freeze(content)
    for array in (queries, column, tensor):
        with pytest.raises(ValueError, match="read-only"):
            array += 1


def test_what_a_message_carries_is_counted_and_named() -> None:
    """8 and 24 bytes of arrays; the same message again is another one."""
    message = Message(Parcel(columns={"a": np.ones(1), "b": np.ones(3)}), "a", "b", message_id=7)
    assert (message.kind, message.carried_bytes()) == ("parcel", 32)
    again = message.again()
    assert again == message and again is not message

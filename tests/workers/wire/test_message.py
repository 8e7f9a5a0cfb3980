"""An envelope says nothing that nobody has put on it."""

from tests.workers.wire.parcel import Parcel
from workers.wire.message import Message


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

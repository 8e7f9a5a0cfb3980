"""Text in a body travels as UTF-8: a character takes its bytes, not an escape of six."""

from tests.workers.wire.parcel import Parcel
from workers.wire.message import Message
from workers.wire.transport.frame import decode, encode

TEXT = "Größe 9,30 €"


def test_text_travels_as_utf8() -> None:
    frame = encode(Message(Parcel(body={"text": TEXT}), "a", "b"))
    assert TEXT.encode() in bytes(frame)
    assert decode(frame).content.body == {"text": TEXT}

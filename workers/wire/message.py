"""The one thing that crosses a wire: an envelope, and what it says.

What it says is a `Kind`. `protos/perfuse/v1/envelope.proto` is the same thing on the wire;
`workers/wire/transport/frame.py` alone turns one into the other.
"""

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from workers.wire.kind import Kind
from workers.wire.roles import Array

C_co = TypeVar("C_co", bound=Kind[Any], covariant=True)


@dataclass(slots=True)
class Message(Generic[C_co]):
    """What one worker tells another.

    content         what it says
    source          worker that sent it
    destination     worker that it is for
    request_id      the user's request, or ""
    deadline_ns     emulated time after which nobody wants the answer, or 0
    reply_to        message_id that this answers, or 0
    message_id      unique within the sender's incarnation
    source_epoch    incarnation of the sender's node
    destination_epoch   of the receiver's node
    sent_ns         emulated time at which the first byte left the sender's egress
    due_ns          emulated time at which the last byte reaches the receiver, its ingress being
                    free; NOT_KNOWN_NS (`kinds.left`) while others share the sender's egress
    concluded       lowest message_id of the sender's calls to the receiver that are not concluded
    delay_ns        how much later than the path alone would have it: what rules say
    charged_bytes   what the link charges: `content.wire_bytes`, not what is really carried
    checksum        over what it says; 0 where that never left this process
    """

    content: C_co
    source: str
    destination: str
    # What whoever makes one knows, first: by position is half as dear as by name.
    request_id: str = ""
    deadline_ns: int = 0
    reply_to: int = 0
    message_id: int = 0
    source_epoch: int = 0
    destination_epoch: int = 0
    sent_ns: int = 0
    due_ns: int = 0
    charged_bytes: int = 0
    checksum: int = 0
    delay_ns: int = 0
    concluded: int = 0
    # Known at the receiver alone: what it keeps of whoever sent it (`wire.peer`), and of its way in
    # (`wire.ingress`).
    caller: Any = None
    arriving: Any = None

    @property
    def kind(self) -> str:
        """The content's name: "dispatch", "kv_blocks", "submit"."""
        return self.content.kind

    def carried_bytes(self) -> int:
        """What its arrays take of this machine's memory."""
        return sum(int(array.nbytes) for array in self.content.arrays())

    def again(self) -> "Message[C_co]":
        """The same to be sent once more."""
        return replace(self)


def freeze(content: Kind[Any]) -> None:
    """Make its arrays read-only: what is sent belongs to the message, here and at the receiver."""
    for name in content.one_array:
        array: Array = getattr(content, name)
        if array.flags.writeable:
            array.flags.writeable = False
    for name in content.several:
        for array in getattr(content, name).values():
            if array.flags.writeable:
                array.flags.writeable = False

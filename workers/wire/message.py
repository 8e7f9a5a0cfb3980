"""The one thing that crosses a wire: a message.

A message is an envelope, then columns (one entry a token), then tensors. Every token in it carries
its own identity (request, position) and route (experts, weights) in the columns, so that one token
can be lost, retried or flagged alone. `protos/perfuse/v1/envelope.proto` is the same thing on the
wire; `workers/wire/transport/frame.py` alone turns one into the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Body = Mapping[str, Any]

# What a header costs the link beside columns and tensors: the size of a typical encoded envelope.
HEADER_BYTES = 64


@dataclass(slots=True)
class Message:
    """What one worker tells another.

    kind            what it is: "dispatch", "combine", "kv_blocks", "submit"; "reply" and "error"
                    answer a call
    source          worker that sent it
    destination     worker that it is for
    source_epoch    incarnation of the sender's node
    destination_epoch   of the receiver's node
    message_id      unique within the sender's incarnation
    reply_to        message_id that this answers, or 0
    request_id      the user's request, or ""
    sent_ns         emulated time at which the first byte left the sender's egress
    due_ns          emulated time at which the last byte reaches the receiver, its ingress being
                    free
    deadline_ns     emulated time after which nobody wants the answer, or 0
    declared_bytes  what the link charges (may differ from what is really carried)
    checksum        over body, columns and tensors; 0 where they never left this process
    body            small JSON-able facts
    columns         name -> array whose first dimension is the token; all of one length
    tensors         name -> array of any shape; read-only at the receiver
    """

    kind: str
    source: str
    destination: str
    source_epoch: int = 0
    destination_epoch: int = 0
    message_id: int = 0
    reply_to: int = 0
    request_id: str = ""
    sent_ns: int = 0
    due_ns: int = 0
    deadline_ns: int = 0
    declared_bytes: int = 0
    checksum: int = 0
    body: Body = field(default_factory=dict)
    columns: dict[str, Array] = field(default_factory=dict)
    tensors: dict[str, Array] = field(default_factory=dict)

    def payload_bytes(self) -> int:
        """HEADER_BYTES, columns and tensors as they are: the default for `declared_bytes`."""
        arrays = (*self.columns.values(), *self.tensors.values())
        return HEADER_BYTES + sum(array.nbytes for array in arrays)


def frozen(array: Array) -> Array:
    """A read-only view: what a receiver gets of an array that the sender still holds."""
    view = array.view()
    view.flags.writeable = False
    return view

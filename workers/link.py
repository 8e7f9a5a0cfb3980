"""One node's way into the network: egress and ingress that queue, the path's latency, and what may
go wrong on it.

The sender charges its egress and stamps when the first byte left; the receiver charges its ingress
from the moment that byte arrives. A message is cut through, not stored and forwarded: alone on
equal links it takes latency + bytes / bandwidth.

    egress   ──[ first ....... last ]──▶
    ingress        latency ──▶[ first ....... last ] due
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from configs.schema.link import LinkSpec
from workers.hardware.resource import Resource
from workers.message import Array, Message
from workers.transport import frame


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing happens to the message."""


@dataclass(frozen=True, slots=True)
class Delay:
    """It arrives later by `delay_ns`."""

    delay_ns: int


@dataclass(frozen=True, slots=True)
class Drop:
    """It never arrives."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """It arrives twice, the second time later by `delay_ns`."""

    delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Corrupt:
    """One of its bits arrives flipped."""


Verdict = Pass | Delay | Drop | Duplicate | Corrupt


class Rule(Protocol):
    """What may go wrong between two nodes. `source` and `destination` are nodes."""

    def judge(self, source: str, destination: str, message: Message) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """What a node knows of another: its link, and which incarnation is alive."""

    link: LinkSpec
    epoch: int


class Link:
    """Egress and ingress of one node. Energy is the sender's."""

    def __init__(self, spec: LinkSpec) -> None:
        self.spec = spec
        self.egress = Resource(spec.bytes_per_s)
        self.ingress = Resource(spec.bytes_per_s)
        self.joules = 0.0

    def latency_ns(self, other: LinkSpec) -> int:
        """One way between two nodes: the slower of the two links says how long the path is."""
        return max(self.spec.latency_ns, other.latency_ns)

    def leave(self, message: Message, now_ns: int, to: LinkSpec) -> None:
        """Charge egress; stamps `sent_ns` (first byte) and `due_ns` (last byte at the far end,
        nobody in the way).
        """
        message.sent_ns, last_ns = self.egress.reserve(now_ns, message.declared_bytes)
        message.due_ns = last_ns + self.latency_ns(to)
        self.joules += message.declared_bytes * 8 * self.spec.pj_per_bit * 1e-12

    def arrive(self, message: Message, first_byte_ns: int) -> int:
        """Charge ingress from the first byte's arrival; returns when the message is there."""
        _, last_ns = self.ingress.reserve(first_byte_ns, message.declared_bytes)
        return max(last_ns, message.due_ns)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a message when all rules have spoken.

    delays_ns   one entry for each copy that arrives: how much later than without rules
    corrupt     whether what arrives has a flipped bit
    """

    delays_ns: tuple[int, ...] = (0,)
    corrupt: bool = False


def fate_of(rules: Mapping[str, Rule], source: str, destination: str, message: Message) -> Fate:
    """Rules add up, as on a real path: delays sum, and what one rule drops no other can save."""
    delay_ns, copies_ns, corrupt = 0, [0], False
    for rule in rules.values():
        match rule.judge(source, destination, message):
            case Drop():
                return Fate(())
            case Delay(more_ns):
                delay_ns += more_ns
            case Duplicate(later_ns):
                copies_ns.append(later_ns)
            case Corrupt():
                corrupt = True
    return Fate(tuple(delay_ns + copy_ns for copy_ns in copies_ns), corrupt)


def flip_bit(message: Message) -> Message:
    """The message under its true checksum, with one bit of its first array flipped.

    Without an array the checksum itself is what is hit.
    """
    checksum = frame.checksum(message)
    columns, tensors = dict(message.columns), dict(message.tensors)
    for arrays in (tensors, columns):
        for name, array in arrays.items():
            if array.nbytes:
                arrays[name] = _flipped(array, message.message_id)
                return replace(message, checksum=checksum, columns=columns, tensors=tensors)
    # In a Message 0 means "no checksum", so the bit must not be the last one that is set.
    return replace(message, checksum=checksum ^ (1 if checksum != 1 else 2))


def _flipped(array: Array, position: int) -> Array:
    data = bytearray(array.tobytes())
    data[position % len(data)] ^= 1 << position % 8
    return np.frombuffer(data, dtype=array.dtype).reshape(array.shape)

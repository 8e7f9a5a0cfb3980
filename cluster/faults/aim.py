"""Which messages a fault is about, and which of those it hits.

Chance is a function of seed, rule and message, and time is when the message's first byte left. A
repetition of a message is sent at another time: it has a chance of its own.
"""

from collections.abc import Mapping
from typing import Any

from cluster.faults.words import ANSWER
from configs.schema.faults import ANYONE, FaultRule, PartitionFault
from workers.host.rng import Rng
from workers.wire.message import Message

# From whom, to whom: worker or node, or ANYONE.
Way = tuple[str, str]


def ways_of(fault: FaultRule) -> tuple[Way, ...]:
    """The directions that a fault is about."""
    there, back = (fault.source, fault.destination), (fault.destination, fault.source)
    match fault.direction or ("both" if isinstance(fault, PartitionFault) else "to"):
        case "to":
            return (there,)
        case "from":
            return (back,)
        case _:
            return (there, back) if there != back else (there,)


class Aim:
    """name   of the fault: its chance is its own"""

    def __init__(
        self,
        name: str,
        fault: FaultRule,
        ways: tuple[Way, ...],
        directory: Mapping[str, str],
        rng: Rng,
    ) -> None:
        self._name, self._fault, self._directory, self._rng = name, fault, directory, rng
        self._ways = ways

    def can_leave(self, node: str) -> bool:
        """Whether the fault is about anything that this node sends."""
        return any(
            source in (ANYONE, node) or self._directory.get(source) == node
            for source, _ in self._ways
        )

    def can_enter(self, node: str) -> bool:
        """Whether the fault is about anything that this node is sent."""
        return any(
            destination in (ANYONE, node) or self._directory.get(destination) == node
            for _, destination in self._ways
        )

    def hits(self, source: str, destination: str, message: Message[Any]) -> bool:
        fault = self._fault
        return (
            self._is_of_kind(message)
            and self._is_now(message.sent_ns)
            and self._is_between(source, destination, message)
            and (fault.toxicity >= 1 or self.uniform("hit", message) < fault.toxicity)
        )

    def uniform(self, what: str, message: Message[Any]) -> float:
        """In [0, 1), a number of this rule and this sending of this message."""
        identity = (message.source_epoch, message.message_id, message.sent_ns)
        return self._rng.uniform(self._name, what, message.source, *identity)

    def _is_of_kind(self, message: Message[Any]) -> bool:
        kind = self._fault.kind
        return kind in (ANYONE, message.kind) or (kind == ANSWER and bool(message.reply_to))

    def _is_now(self, sent_ns: int) -> bool:
        fault = self._fault
        over = fault.duration_ns is not None and sent_ns >= fault.start_ns + fault.duration_ns
        return sent_ns >= fault.start_ns and not over

    def _is_between(self, source: str, destination: str, message: Message[Any]) -> bool:
        return any(
            come_from in (ANYONE, source, message.source)
            and go_to in (ANYONE, destination, message.destination)
            for come_from, go_to in self._ways
        )

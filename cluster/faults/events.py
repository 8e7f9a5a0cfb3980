"""Faults of nodes that wait for a message: seen where messages leave, as rules of links are asked.

A tap is asked after a message has its id and its time, and before it leaves. It only counts: what
happens, happens at that same instant, once whoever sends has ended its turn. So a message that
sets off the sender's death is on its way already. The point `moved` alone takes the message, a
notice that is then lost.
"""

from collections.abc import Callable
from typing import Any

from cluster.faults.words import ANSWER
from configs.schema.faults import FaultRule, NodeFault, OnEvent, OnTransfer
from workers.experts.tokens import request_number
from workers.wire.message import Message
from workers.wire.rules import Drop, Pass, Verdict

# Kinds that stand for the points of a KV transfer: from prefill to decode chip.
POINTS = {"before": "prefill", "in_flight": "kv_blocks", "moved": "start"}
# A router that begins a request anew calls it r~1, r~2, ...; more attempts than it ever makes.
ATTEMPTS_MAX = 16


class Awaited:
    """The one event that a fault waits for.

    fire   called when it happens, once
    """

    def __init__(self, event: OnEvent, fire: Callable[[], None], *, takes: bool = False) -> None:
        self._event, self._fire, self.takes = event, fire, takes
        self._num_seen, self.is_over = 0, False
        names = () if event.request is None else _attempts(event.request)
        self._names = frozenset(names)
        self._numbers = frozenset(request_number(name) for name in names)

    def sees(self, message: Message[Any]) -> bool:
        """Whether this is the message, and the fault has begun."""
        if not self._is_meant(message):
            return False
        self._num_seen += 1
        if self._num_seen < self._event.nth:
            return False
        self.is_over = True
        self._fire()
        return True

    def _is_meant(self, message: Message[Any]) -> bool:
        event = self._event
        if event.kind != message.kind and not (event.kind == ANSWER and message.reply_to):
            return False
        if event.layer is not None and getattr(message.content, "layer", None) != event.layer:
            return False
        return event.request is None or self._is_of_request(message)

    def _is_of_request(self, message: Message[Any]) -> bool:
        """Its envelope names the request, or one of its rows does."""
        if message.request_id in self._names:
            return True
        if any(name in self._names for name in getattr(message.content, "requests", ())):
            return True
        rows = getattr(message.content, "request", ())
        return any(int(number) in self._numbers for number in rows)


class Tap:
    """A rule of every node's links; one object, so that all count the same messages."""

    def __init__(self) -> None:
        self._awaited: list[Awaited] = []

    def add(self, awaited: Awaited) -> None:
        self._awaited.append(awaited)

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        if not self._awaited:
            return Pass()
        seen = [awaited for awaited in self._awaited if awaited.sees(message)]
        if not seen:
            return Pass()
        self._awaited = [awaited for awaited in self._awaited if not awaited.is_over]
        return Drop() if any(awaited.takes for awaited in seen) else Pass()


class OfTransfer(Awaited):
    """Of each sequence the first such message counts: its blocks may go in several, and each may
    be said again.
    """

    def __init__(self, point: OnTransfer, fire: Callable[[], None]) -> None:
        event = OnEvent(kind=POINTS[point.point], nth=point.nth, request=point.request)
        super().__init__(event, fire, takes=point.point == "moved")
        self._begun: set[str] = set()

    def _is_meant(self, message: Message[Any]) -> bool:
        if not super()._is_meant(message) or message.request_id in self._begun:
            return False
        self._begun.add(message.request_id)
        return True


def awaited_of(fault: NodeFault | FaultRule, fire: Callable[[], None]) -> Awaited | None:
    """None where it waits for a time."""
    if fault.transfer is not None:
        return OfTransfer(fault.transfer, fire)
    return None if fault.event is None else Awaited(fault.event, fire)


def _attempts(request: str) -> tuple[str, ...]:
    return (request, *(f"{request}~{number}" for number in range(1, ATTEMPTS_MAX)))

"""Calls as both ends keep them: what is pending, what was answered, how long answers take."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Generic, Protocol

from workers.errors import PerfuseError
from workers.host.credits import Credits
from workers.wire.kind import A_co, Kind
from workers.wire.membership import Incarnation
from workers.wire.message import Message

# Unanswered calls to one peer node; the next one waits. Far above what a batch a layer to a shard
# needs.
CREDITS_PER_PEER = 256
# Calls that are remembered per peer node, so that a repetition is known; it must exceed what can be
# open at once.
REMEMBERED_CALLS_MAX = 16 * CREDITS_PER_PEER
# Bytes of answers that are kept per peer node for repetitions.
REMEMBERED_BYTES_MAX = 4 << 20
# A first guess at a round trip before one was seen: the share of a call's time after which it is
# repeated.
UNKNOWN_ROUND_TRIP_SHARE = 32
# An answer is overdue after this many times the expected round trip: repeating too early only costs
# the link, but costs it when it is busiest.
PATIENCE = 3
# Nor is anything repeated sooner than this: a message queues behind others for that long without
# being lost. ASSUMED: some ten launches of a kernel.
PATIENCE_NS_MIN = 50_000


class Handled(Enum):
    """What a handler may return instead of an answer."""

    LATER = 1  # the worker will call `Port.reply` itself


Outcome = Kind[Any] | Handled | None
Handler = Callable[[Message[Any]], Outcome | Awaitable[Outcome]]


class Caller(Protocol):
    """Who keeps what is pending."""

    def forget(self, pending: "Pending[Any]") -> None: ...

    async def await_reply(self, pending: "Pending[Any]") -> Message[Any]: ...


class Pending(Generic[A_co]):
    """A call that was sent and not yet answered; `A_co` is the content of its answer."""

    __slots__ = (
        "_caller", "answer", "credits", "is_repeated", "message", "peer", "posted_ns", "waiter",
    )  # fmt: skip

    def __init__(
        self,
        caller: Caller,
        peer: Incarnation,
        message: Message[Any],
        posted_ns: int,
        credits: Credits,
    ) -> None:
        self._caller, self.peer, self.message = caller, peer, message
        self.credits = credits
        self.posted_ns, self.is_repeated = posted_ns, False
        self.answer: Message[Any] | PerfuseError | None = None
        self.waiter: asyncio.Future[None] | None = None

    def settled(self) -> bool:
        return self.answer is not None

    def settle(self, answer: Message[Any] | PerfuseError) -> None:
        """The first answer counts; later ones repeat it."""
        if self.answer is None:
            self.answer = answer
            self.wake()

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def abandon(self) -> None:
        """Nobody waits for the answer any more; its credit returns. Does nothing after `reply`."""
        self._caller.forget(self)

    async def reply(self) -> A_co:
        """The answer. Raises what the handler raised, DeadlineExceeded, or PeerDead."""
        content: A_co = (await self._caller.await_reply(self)).content
        return content


class Remembered:
    """What one peer node called and what it was answered, so that a repetition runs nothing twice.

    Bounded twice: by ids, and by the bytes of the answers that are kept. A repetition whose answer
    fell out is still known and stays unanswered; its caller meets its deadline.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[int, Message[Any] | None] = OrderedDict()
        self._answered: deque[int] = deque()
        self._answer_bytes = 0

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._answers

    def answer_to(self, message_id: int) -> Message[Any] | None:
        return self._answers[message_id]

    def begin(self, message_id: int) -> None:
        self._answers[message_id] = None
        if len(self._answers) > REMEMBERED_CALLS_MAX:
            _, dropped = self._answers.popitem(last=False)
            self._answer_bytes -= dropped.carried_bytes() if dropped is not None else 0

    def answered(self, message_id: int, answer: Message[Any]) -> None:
        if message_id not in self._answers:
            return
        self._answers[message_id] = answer
        self._answered.append(message_id)
        self._answer_bytes += answer.carried_bytes()
        while self._answered and (
            self._answer_bytes > REMEMBERED_BYTES_MAX or self._is_forgotten(self._answered[0])
        ):
            oldest = self._answered.popleft()
            dropped = self._answers.get(oldest)
            if dropped is not None:
                self._answers[oldest] = None
                self._answer_bytes -= dropped.carried_bytes()

    def _is_forgotten(self, message_id: int) -> bool:
        return self._answers.get(message_id) is None


class RoundTrips:
    """How long answers take, by peer and kind of call: smoothed mean and deviation (RFC 6298)."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Incarnation, str], tuple[float, float]] = {}

    def heard(self, peer: Incarnation, kind: str, took_ns: int) -> None:
        """An answer to a call sent once: of a repeated one nobody knows which was answered."""
        known = self._seen.get((peer, kind))
        if known is None:
            self._seen[peer, kind] = (took_ns, took_ns / 2)
            return
        mean, deviation = known
        deviation += (abs(took_ns - mean) - deviation) / 4
        self._seen[peer, kind] = (mean + (took_ns - mean) / 8, deviation)

    def patience_ns(self, peer: Incarnation, kind: str, time_left_ns: int) -> int:
        """How long to wait for the first answer before repeating the call."""
        unknown_ns = max(time_left_ns // UNKNOWN_ROUND_TRIP_SHARE, 1)
        known = self._seen.get((peer, kind))
        if known is None:
            return unknown_ns
        mean, deviation = known
        return min(max(int(PATIENCE * (mean + 4 * deviation)), PATIENCE_NS_MIN), unknown_ns)

    def forget(self, peer: Incarnation) -> None:
        """It is gone: its successor may answer faster or slower."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] != peer}

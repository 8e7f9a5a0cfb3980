"""Calls: what a handler may answer, and a call that waits for that."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Generic, Protocol

from workers.errors import PerfuseError
from workers.host.clock.base import Clock
from workers.wire.kind import A_co, Kind
from workers.wire.message import Message
from workers.wire.peer import Peer


class Handled(Enum):
    """What a handler may return instead of an answer."""

    LATER = 1  # the worker will call `Port.reply` itself


Outcome = Kind[Any] | Handled | None
Handler = Callable[[Message[Any]], Outcome | Awaitable[Outcome]]


class Caller(Protocol):
    """Who keeps what is pending."""

    def forget(self, pending: "Pending[Any]") -> None: ...

    def take(self, pending: "Pending[A_co]") -> A_co: ...

    async def wait(self, pendings: "tuple[Pending[Any], ...]") -> None: ...


class Waiter:
    """One task that waits until all of some calls are settled, or enough of them.

    is_due      it was woken because it was time to look after them
    is_enough   asked whenever one is settled; None: all are wanted
    """

    __slots__ = ("_is_enough", "_num_open", "future", "is_due")

    def __init__(self, num_open: int, is_enough: Callable[[], bool] | None = None) -> None:
        self._num_open, self._is_enough, self.is_due = num_open, is_enough, False
        self.future: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._num_open > 0 and (self._is_enough is None or not self._is_enough())

    def settled(self) -> None:
        self._num_open -= 1
        if not self.is_open:
            self.wake()

    async def is_time(self, clock: Clock, at_ns: int) -> bool:
        """Whether it has come; else something was heard before."""
        self.future, self.is_due = asyncio.get_running_loop().create_future(), False
        timer = clock.call_at(at_ns, self.due)
        try:
            await self.future
        finally:
            timer.cancel()
        return self.is_due

    def due(self) -> None:
        self.is_due = True
        self.wake()

    def wake(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Pending(Generic[A_co]):
    """A call that was sent and not yet answered; `A_co` is the content of its answer.

    overdue_ns, patience_ns  when its peer is asked what became of it, and how long after that once
                             more; 0: not reckoned yet
    heard                    told when it is settled, if anybody is
    is_lost                  its peer has said that it never came, or that it was answered in vain
    """

    __slots__ = (
        "_caller", "answer", "heard", "is_lost", "is_repeated", "message", "overdue_ns",
        "patience_ns", "peer", "posted_ns", "waiter",
    )  # fmt: skip

    def __init__(self, caller: Caller, peer: Peer, message: Message[Any], posted_ns: int) -> None:
        self._caller, self.peer, self.message = caller, peer, message
        self.posted_ns, self.is_repeated, self.is_lost = posted_ns, False, False
        self.overdue_ns = self.patience_ns = 0
        self.answer: Message[Any] | PerfuseError | None = None
        self.waiter: Waiter | None = None
        self.heard: Callable[[], None] | None = None

    def settle(self, answer: Message[Any] | PerfuseError) -> None:
        """The first answer counts; later ones repeat it."""
        if self.answer is None:
            self.answer = answer
            if self.heard is not None:
                heard, self.heard = self.heard, None  # no circle is left
                heard()
            if self.waiter is not None:
                self.waiter.settled()

    def abandon(self) -> None:
        """Nobody waits for the answer any more; its credit returns. Does nothing after `reply`."""
        self._caller.forget(self)

    async def settled(self) -> None:
        """Wait until it is answered, or will not be. `take` then, or `abandon`."""
        if self.answer is None:
            await self._caller.wait((self,))

    def take(self) -> A_co:
        """The answer of a settled call, once. Raises what the handler raised, DeadlineExceeded, or
        PeerDead.
        """
        return self._caller.take(self)

    async def reply(self) -> A_co:
        """Wait for the answer, and take it; whoever is cancelled meanwhile abandons the call."""
        try:
            await self.settled()
        except BaseException:
            self.abandon()
            raise
        return self.take()

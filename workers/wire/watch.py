"""Whether workers that do not answer are still there, as one that waits for them knows it.

Who is busy for long says at once that it is there; who is stopped, or cut off, says nothing. Nobody
is asked who answers, and whoever is silent is asked again only while there is something to ask of
it: so a cluster without work says nothing.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from workers.errors import PerfuseError
from workers.host.clock.base import Clock
from workers.wire.calls import Pending
from workers.wire.endpoint import Spawn
from workers.wire.kinds.there import IsThere
from workers.wire.message import Message
from workers.wire.port import Port


class Watch:
    """silence_ns   for which a question is open, at most
    was_heard    told of a worker that says that it is there
    """

    def __init__(
        self,
        port: Port,
        clock: Clock,
        spawn: Spawn,
        silence_ns: int,
        was_heard: Callable[[str], Any],
    ) -> None:
        self._port, self._clock, self._spawn, self._was_heard = port, clock, spawn, was_heard
        self._silence_ns = silence_ns
        self._asked: set[str] = set()
        self._num_heard: dict[str, int] = {}

    def num_heard(self, worker: str) -> int:
        """How often it has said that it is there."""
        return self._num_heard.get(worker, 0)

    def ask(self, worker: str, until_ns: int) -> None:
        """Does not wait. Nobody wants to know after `until_ns`, when whoever waits for the worker
        has given up.
        """
        if worker not in self._asked:
            self._asked.add(worker)
            self._spawn(self._ask(worker, until_ns), f"is {worker} there")

    @property
    def within_ns(self) -> int:
        """`silence_ns` from now on, as exact as a clock that is waited for can be."""
        now_ns = self._clock.now()
        return self._clock.deadline_floor(now_ns + self._silence_ns) - now_ns

    async def is_answered(self, pending: Pending[Any]) -> bool:
        """Wait until a call is settled; False as soon as its peer is silent: then nobody waits for
        the answer any more, nor does where this is cancelled.
        """
        worker, is_settled = pending.message.destination, False
        num_heard: int | None = None
        try:
            while pending.answer is None:
                step_ns = max(self.within_ns // 2, 1)
                await self._port.settled((pending,), self._clock.now() + step_ns)
                if pending.answer is None:
                    self._clock.join_wall()
                    if num_heard == self.num_heard(worker):
                        return False
                    num_heard = self.num_heard(worker)
                    self.ask(worker, pending.message.deadline_ns)
            is_settled = True
        finally:
            if not is_settled:
                pending.abandon()
        return True

    async def _ask(self, worker: str, until_ns: int) -> None:
        try:
            with suppress(PerfuseError):
                self._clock.join_wall()
                deadline_ns = min(until_ns, self._clock.now() + self._silence_ns)
                await self._port.call(worker, IsThere(), deadline_ns=deadline_ns)
                self._num_heard[worker] = self.num_heard(worker) + 1
                self._was_heard(worker)
        finally:
            self._asked.discard(worker)


def says_so(port: Port) -> None:
    """This worker says that it is there."""
    port.on(IsThere, _here)


def _here(_: Message[IsThere]) -> None:
    """The answer says it."""
